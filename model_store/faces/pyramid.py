"""Pictures of any size for a detector that sees faces of one octave: an image pyramid, in tiles.

A face whose crop is between 28 and 70 px wide is found best; so a photo is shown at several sizes,
each half of the one before, until that octave has met faces as large as the photo. Small faces are
looked for in an enlarged photo. Large levels are cut into tiles that overlap by more than a face of
the octave, so that every face is whole in one of them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from model_store.faces.blazeface import STRIDE_PX
from model_store.image_tensor import RgbImage, resize_levels

# Of a face's crop, in px of a level: where the octave begins that is found best.
_BEST_SIDE_PX = 28
LARGEST_TILE = (1024, 800)
"""Width and height in px of as many pixels as no tile has more of: bounds the memory of a pass."""

# More than a face of the octave, which ends where the next level's begins: 56 px and some hair.
_OVERLAP_PX = 96
_MOST_TILES_ALONG = 64
# A face that fills a smaller level than this is found in the level before it.
_MIN_LEVEL_PX = 96


@dataclass(frozen=True, kw_only=True)
class Level:
    """A photo at one size.

    Attributes:
        width: in px of the level.
        height: in px of the level.
        scale_x: px of the level a px of the photo.
        scale_y: px of the level a px of the photo.
    """

    width: int
    height: int
    scale_x: float
    scale_y: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """A part of a level, both sides multiples of 32 px; black where the level has ended.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        left: in px of the level.
        top: in px of the level.
        level: that it was cut from.
    """

    pixels: RgbImage
    left: int
    top: int
    level: Level


def plan_levels(
    width: int, height: int, *, min_face_px: float, max_level_pixels: int
) -> list[Level]:
    """Say at which sizes a photo must be seen, the largest first.

    Args:
        width: of the photo in px.
        height: of the photo in px.
        min_face_px: side of the smallest crop that is looked for, in px of the photo.
        max_level_pixels: no level has more; of large photos the smallest faces are not seen then,
            see `smallest_face_px`.
    """
    scale = min(_BEST_SIDE_PX / min_face_px, math.sqrt(max_level_pixels / (width * height)))
    levels: list[Level] = []
    while not levels or scale * max(width, height) >= _MIN_LEVEL_PX:
        size = [max(1, math.floor(scale * side)) for side in (width, height)]
        levels.append(
            Level(
                width=size[0],
                height=size[1],
                scale_x=size[0] / width,
                scale_y=size[1] / height,
            )
        )
        scale /= 2
    return levels


def smallest_face_px(levels: Sequence[Level]) -> float:
    """Side of the smallest crop that these levels are made for, in px of the photo."""
    return _BEST_SIDE_PX / levels[0].scale_x


def cut_tiles(photo: RgbImage, levels: Sequence[Level]) -> Iterator[Tile]:
    """Make the tiles of every level of an (H, W, 3) uint8 photo."""
    source = photo
    for level in levels:
        pixels = resize_levels(source, height=level.height, width=level.width)
        if pixels.size < source.size:
            # The next level is made of this one: of a large photo that is far less to read.
            source = pixels
        all_rows, all_columns = _plan_tiles(level.width, level.height)
        for top, rows in all_rows:
            for left, columns in all_columns:
                part = pixels[top : top + rows, left : left + columns]
                yield Tile(pixels=_padded(part, rows, columns), left=left, top=top, level=level)


def whole_tile(picture: RgbImage, *, scale: float = 1) -> Tile:
    """An (H, W, 3) uint8 picture, both sides multiples of 32, as the only tile of its level.

    Args:
        picture: of a part of a photo.
        scale: px of the picture a px of the photo.
    """
    height, width = picture.shape[:2]
    level = Level(width=width, height=height, scale_x=scale, scale_y=scale)
    return Tile(pixels=picture, left=0, top=0, level=level)


def _padded(part: RgbImage, rows: int, columns: int) -> RgbImage:
    if part.shape[:2] == (rows, columns):
        return part
    tile = np.zeros((rows, columns, 3), np.uint8)
    tile[: part.shape[0], : part.shape[1]] = part
    return tile


_Spans = list[tuple[int, int]]


def _plan_tiles(width: int, height: int) -> tuple[_Spans, _Spans]:
    """Where tiles begin and how long they are, down and across: the fewest pixels in all."""
    largest = LARGEST_TILE[0] * LARGEST_TILE[1]

    def cost(spans: tuple[_Spans, _Spans]) -> tuple[int, int]:
        num_tiles = len(spans[0]) * len(spans[1])
        return num_tiles * spans[0][0][1] * spans[1][0][1], num_tiles

    plans = product(_splits(height), _splits(width))
    return min((p for p in plans if p[0][0][1] * p[1][0][1] <= largest), key=cost)


def _splits(length: int) -> list[_Spans]:
    """Ways to lay tiles along a side, evenly and overlapping: one, two and so on."""
    splits = [[(0, _round_up(length))]]
    for count in range(2, _MOST_TILES_ALONG):
        size = _round_up(math.ceil((length + (count - 1) * _OVERLAP_PX) / count))
        if size >= splits[-1][0][1]:
            break
        splits.append([(round(k * (length - size) / (count - 1)), size) for k in range(count)])
    return splits


def _round_up(length: int) -> int:
    return -(-length // STRIDE_PX) * STRIDE_PX
