"""The faces of a whole photo, from what is proposed in its tiles.

A face is proposed at several sizes and in tiles that overlap. Of the proposals that mean one face
the likeliest is judged first, and the others only where it does not stand.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from model_store.faces.detector import (
    JUDGED_PX,
    MIN_MESH_CONFIDENCE,
    FaceProposal,
    Judgement,
    group,
    have_one_face,
)
from model_store.faces.framing import Similarity, compose, sample_crop, scale_of
from model_store.faces.pyramid import Tile, cut_tiles, plan_levels
from model_store.image_tensor import RgbImage

# Of a face, at least: log-odds of the Landmarker's confidence and half those of BlazeFace's score.
# The most face-like thing in the 20 pictures without a face of docs/photos.md, some gravel, has
# 0.5; so has one of fifty pasted faces of 16 px.
_MIN_EVIDENCE = 0.6

MIN_LOOKED_FOR_PX = 12.0
"""Side of the smallest crop that a detector looks for: below, hardly any face is found."""

# Two crops whose middles are closer than this part of the smaller one's side show one face, however
# differently their boxes were drawn.
_SAME_FACE_DISTANCE = 0.4

# Side of a crop in px of its tile, below which BlazeFace frames the face too narrowly: at 10 px by
# half.
_WELL_FRAMED_PX = 20.0

Propose = Callable[[Tile], Sequence[FaceProposal]]
"""What may be a face in a tile."""

Judge = Callable[[Sequence[RgbImage]], Sequence[Judgement]]
"""What the Landmarker says of crops."""


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """What may be a face in a photo.

    Attributes:
        score: the best that BlazeFace gave to what means this face, in [0, 1].
        tile: in which it was proposed.
        proposal: in px of the tile.
        box: left, top, width, height in px of the photo.
        crop_to_photo: from the unit square of its crop to px of the photo.
    """

    score: float
    tile: Tile
    proposal: FaceProposal
    box: tuple[float, float, float, float]
    crop_to_photo: Similarity

    def cut(self) -> RgbImage:
        """Cut out what is judged of it: (64, 64, 3) uint8."""
        return sample_crop(self.tile.pixels, self.proposal.crop_to_picture, side_px=JUDGED_PX)


class FaceSearch:
    """The search for a photo's faces among its candidates.

    As long as some are `wanted`, cut those out, have them judged and `tell` it; then there are the
    `faces`. Who judges, and whether that is waited for, is the caller's.
    """

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        likeliest = sorted(candidates, key=_promise, reverse=True)
        groups = _group_faces(likeliest)
        of_faces = [_with_best_score([likeliest[index] for index in members]) for members in groups]
        self._wanted = [first for first, *_ in of_faces]
        self._rest = [others for _, *others in of_faces]
        self._found: list[PhotoFace] = []

    @property
    def wanted(self) -> Sequence[Candidate]:
        """Those that are to be judged next."""
        return self._wanted

    def tell(self, judgements: Sequence[Judgement]) -> None:
        """Tell what was said of those that were wanted, in order."""
        rest, self._rest = self._rest, []
        for candidate, judgement in zip(self._wanted, judgements, strict=True):
            if _is_face(candidate, judgement):
                self._found.append(_face(candidate, judgement))
        self._wanted = [
            other
            for candidate, others, judgement in zip(self._wanted, rest, judgements, strict=False)
            if judgement.confidence < MIN_MESH_CONFIDENCE or not _is_face(candidate, judgement)
            for other in others
        ]

    def faces(self) -> list[PhotoFace]:
        """The surest of what was found and means one face, the largest face first."""
        surest = sorted(self._found, key=lambda face: face.score * face.confidence, reverse=True)
        kept = [surest[first] for first, *_ in _group_faces(surest)]
        return sorted(kept, key=lambda face: face.side_px, reverse=True)


def find_faces(
    photo: RgbImage,
    propose: Propose,
    judge: Judge,
    *,
    min_face_px: float,
    max_level_pixels: int,
) -> list[PhotoFace]:
    """Find the faces of an (H, W, 3) uint8 photo, the largest first.

    Args:
        photo: upright.
        propose: BlazeFace.
        judge: the Landmarker.
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
    found = find_in_tiles(cut_tiles(photo, levels), propose, judge)
    return [face for face in found if face.side_px >= min_face_px]


def find_in_tiles(tiles: Iterable[Tile], propose: Propose, judge: Judge) -> list[PhotoFace]:
    """Find the faces that tiles of one photo show, the largest first."""
    search = FaceSearch(one for tile in tiles for one in candidates_of_tile(tile, propose(tile)))
    while wanted := search.wanted:
        search.tell(judge([candidate.cut() for candidate in wanted]))
    return search.faces()


def candidates_of_tile(tile: Tile, proposals: Iterable[FaceProposal]) -> list[Candidate]:
    """Bring what was proposed in a tile to the photo's pixels."""
    return [
        Candidate(
            score=proposal.score,
            tile=tile,
            proposal=proposal,
            box=_box_in_photo(tile, proposal.box),
            crop_to_photo=_crop_to_photo(tile, proposal.crop_to_picture),
        )
        for proposal in proposals
    ]


def _with_best_score(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates of one face, each with the best of their scores."""
    score = max(one.score for one in candidates)
    return [replace(one, score=score) for one in candidates]


def _promise(candidate: Candidate) -> float:
    """How soon it is to be judged: by its score, and by how exactly its crop may be placed."""
    side_px = scale_of(candidate.proposal.crop_to_picture)
    return candidate.proposal.score * min(1, side_px / _WELL_FRAMED_PX)


def _is_face(candidate: Candidate, judgement: Judgement) -> bool:
    evidence = _log_odds(judgement.confidence) + _log_odds(candidate.score) / 2
    return evidence >= _MIN_EVIDENCE


def _log_odds(probability: float) -> float:
    # A confidence may be rounded to 0 or 1.
    inside = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(inside / (1 - inside))


def _face(candidate: Candidate, judgement: Judgement) -> PhotoFace:
    crop_to_tile = compose(candidate.proposal.crop_to_picture, judgement.better_crop)
    return PhotoFace(
        box=candidate.box,
        crop_to_photo=_crop_to_photo(candidate.tile, crop_to_tile),
        confidence=judgement.confidence,
        score=candidate.score,
    )


def _group_faces(ordered: Sequence[Candidate | PhotoFace]) -> list[list[int]]:
    """Group those that mean one face, by their boxes or by their crops; see `group`."""
    boxes = np.array([one.box for one in ordered]).reshape(-1, 4)
    crops = np.array([one.crop_to_photo for one in ordered]).reshape(-1, 2, 3)
    middles = crops @ (0.5, 0.5, 1)
    sides = np.hypot(crops[:, 0, 0], crops[:, 1, 0])

    def is_same(leader: int, others: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        distances = np.hypot(*(middles[others] - middles[leader]).T)
        nearest = _SAME_FACE_DISTANCE * np.minimum(sides[others], sides[leader])
        near: npt.NDArray[np.bool_] = distances < nearest
        return near | have_one_face(boxes[leader], boxes[others])

    return group(len(ordered), is_same)


def _box_in_photo(
    tile: Tile, box: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    left, top, width, height = box
    level = tile.level
    return (
        (left + tile.left) / level.scale_x,
        (top + tile.top) / level.scale_y,
        width / level.scale_x,
        height / level.scale_y,
    )


def _crop_to_photo(tile: Tile, crop_to_tile: Similarity) -> Similarity:
    matrix = crop_to_tile.copy()
    matrix[:, 2] += (tile.left, tile.top)
    # Both scales are equal but for the rounding of the level's size.
    return _as_similarity(matrix / np.array([[tile.level.scale_x], [tile.level.scale_y]]))


def _as_similarity(matrix: Similarity) -> Similarity:
    """The similarity closest to an affine map, with the same middle of the crop."""
    a = (matrix[0, 0] + matrix[1, 1]) / 2
    b = (matrix[1, 0] - matrix[0, 1]) / 2
    middle = matrix @ (0.5, 0.5, 1)
    turned = np.array([[a, -b], [b, a]])
    return np.column_stack([turned, middle - turned @ (0.5, 0.5)])
