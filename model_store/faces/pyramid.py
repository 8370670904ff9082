"""Pictures of any size for a detector that sees faces of one octave: an image pyramid, in tiles.

A face whose crop is between 28 and 70 px wide is found best; so a photo is shown at several sizes,
each half of the one before, until that octave has met faces as large as the photo. Small faces are
looked for in an enlarged photo. Large levels are cut into tiles that overlap by more than a face of
the octave, so that every face is whole in one of them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from model_store.faces.blazeface import STRIDE_PX
from model_store.image_tensor import RgbImage

# Of a face's crop, in px of a level: where the octave begins that is found best.
_BEST_SIDE_PX = 28
LARGEST_TILE_PX = 704
"""A tile's longest side: its pixels are fewer than those of a batch of 32 upscaled faces."""

_OVERLAP_PX = 128
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
    image = Image.fromarray(photo)
    for level in levels:
        pixels = np.asarray(image.resize((level.width, level.height), Image.Resampling.BICUBIC))
        for top, rows in _spans(level.height):
            for left, columns in _spans(level.width):
                tile = np.zeros((rows, columns, 3), np.uint8)
                part = pixels[top : top + rows, left : left + columns]
                tile[: part.shape[0], : part.shape[1]] = part
                yield Tile(pixels=tile, left=left, top=top, level=level)


def _spans(length: int) -> list[tuple[int, int]]:
    """Where the tiles along a side begin, and how long they are: evenly laid, overlapping."""
    if length <= LARGEST_TILE_PX:
        return [(0, _round_up(length))]
    count = math.ceil((length - _OVERLAP_PX) / (LARGEST_TILE_PX - _OVERLAP_PX))
    size = _round_up(math.ceil((length + (count - 1) * _OVERLAP_PX) / count))
    return [(round(k * (length - size) / (count - 1)), size) for k in range(count)]


def _round_up(length: int) -> int:
    return -(-length // STRIDE_PX) * STRIDE_PX
