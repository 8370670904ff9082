"""The faces of a whole photo, from what was found in its tiles.

A face is seen at several sizes and in tiles that overlap; of its proposals the surest is kept.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from model_store.faces.detector import FaceProposal, group_boxes
from model_store.faces.framing import Points, Similarity, scale_of, transform
from model_store.faces.pyramid import Tile, cut_tiles, plan_levels
from model_store.image_tensor import RgbImage

MIN_CONFIDENCE = 0.3
"""Below this confidence of the Landmarker a proposal is no face; measured, see docs/photos.md."""

MIN_LOOKED_FOR_PX = 12.0
"""Side of the smallest crop that a detector looks for: below, hardly any face is found."""

# Two crops whose middles are closer than this part of the smaller one's side show one face, however
# differently their boxes were drawn.
_SAME_FACE_DISTANCE = 0.4


@dataclass(frozen=True, kw_only=True, eq=False)
class PhotoFace:
    """A face in a photo.

    Attributes:
        box: left, top, width, height in px of the photo.
        crop_to_photo: from the unit square of its crop to px of the photo.
        confidence: in [0, 1], that this is a face.
        score: BlazeFace's, in [0, 1].
    """

    box: tuple[float, float, float, float]
    crop_to_photo: Similarity
    confidence: float
    score: float

    @property
    def side_px(self) -> float:
        """Side of its crop, in px of the photo."""
        return scale_of(self.crop_to_photo)

    @property
    def middle(self) -> tuple[float, float]:
        """Of its box, in px of the photo."""
        left, top, width, height = self.box
        return left + width / 2, top + height / 2


def find_faces(
    photo: RgbImage,
    detect: Callable[[RgbImage], Sequence[FaceProposal]],
    *,
    min_face_px: float,
    max_level_pixels: int,
) -> list[PhotoFace]:
    """Find the faces of an (H, W, 3) uint8 photo, the largest first.

    Args:
        photo: upright.
        detect: gives the proposals of one tile.
        min_face_px: faces with a smaller crop are left out.
        max_level_pixels: see `plan_levels`.
    """
    height, width = photo.shape[:2]
    levels = plan_levels(
        width,
        height,
        min_face_px=max(min_face_px, MIN_LOOKED_FOR_PX),
        max_level_pixels=max_level_pixels,
    )
    found = [
        face
        for tile in cut_tiles(photo, levels)
        for face in faces_of_tile(tile, detect(tile.pixels))
    ]
    return merge_faces(found, min_face_px=min_face_px)


def faces_of_tile(tile: Tile, proposals: Iterable[FaceProposal]) -> list[PhotoFace]:
    """Bring what was found in a tile to the photo's pixels; what is no face is left out."""
    level = tile.level
    to_photo = np.array([[1 / level.scale_x], [1 / level.scale_y]])
    faces = []
    for proposal in proposals:
        if proposal.confidence < MIN_CONFIDENCE:
            continue
        left, top, width, height = proposal.box
        matrix = proposal.crop_to_picture.copy()
        matrix[:, 2] += (tile.left, tile.top)
        faces.append(
            PhotoFace(
                box=(
                    (left + tile.left) / level.scale_x,
                    (top + tile.top) / level.scale_y,
                    width / level.scale_x,
                    height / level.scale_y,
                ),
                # Both scales are equal but for the rounding of the level's size.
                crop_to_photo=_as_similarity(matrix * to_photo),
                confidence=proposal.confidence,
                score=proposal.score,
            )
        )
    return faces


def merge_faces(found: Sequence[PhotoFace], *, min_face_px: float) -> list[PhotoFace]:
    """Keep the surest of the proposals that mean one face, the largest face first."""
    surest = sorted(found, key=lambda face: face.score * face.confidence, reverse=True)
    boxes = np.array([face.box for face in surest]).reshape(-1, 4)
    kept: list[PhotoFace] = []
    for group in group_boxes(boxes):
        face = surest[group[0]]
        if face.side_px >= min_face_px and not any(_is_same(face, other) for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: face.side_px, reverse=True)


def _is_same(face: PhotoFace, other: PhotoFace) -> bool:
    (x, y), (other_x, other_y) = _crop_middle(face), _crop_middle(other)
    distance = math.hypot(x - other_x, y - other_y)
    return distance < _SAME_FACE_DISTANCE * min(face.side_px, other.side_px)


def _crop_middle(face: PhotoFace) -> tuple[float, float]:
    middle: Points = transform(face.crop_to_photo, np.array([[0.5, 0.5]]))
    x, y = middle[0].tolist()
    return x, y


def _as_similarity(matrix: Similarity) -> Similarity:
    """The similarity closest to an affine map, with the same middle of the crop."""
    a = (matrix[0, 0] + matrix[1, 1]) / 2
    b = (matrix[1, 0] - matrix[0, 1]) / 2
    middle = matrix @ (0.5, 0.5, 1)
    turned = np.array([[a, -b], [b, a]])
    return np.column_stack([turned, middle - turned @ (0.5, 0.5)])
