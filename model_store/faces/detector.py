"""From tiles of photos to the faces in them: BlazeFace proposes, the Landmarker decides and aligns.

BlazeFace at a low threshold finds nearly every face, and things that are none. Each proposal is
cut out by its eyes, nose and mouth as a crop of 32 px, and the Landmarker (which was made for such
crops and has learnt to turn down pictures without a face) says how sure it is of a face there, and
where its features are more exactly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from model_store.faces.blazeface import FaceMaps
from model_store.faces.framing import (
    TEMPLATE,
    Points,
    Similarity,
    fit_similarity,
    mesh_points,
    transform,
)
from model_store.image_tensor import resize_bicubic
from model_store.landmarks.fallback import LandmarkPredictor

# Proposals below this are not looked at; with 0.3, a tenth more of faces of 12 px are missed.
_MIN_SCORE = 0.15
# Of one tile, the likeliest; a crowd has no more in 704 x 704 px at these sizes.
_MAX_PROPOSALS = 200
# Boxes that overlap more than this mean one face, as in MediaPipe.
_SAME_FACE_IOU = 0.3
# Eyes, nose, and the middle of the mouth, which is what BlazeFace finds of it.
_KEYPOINT_TEMPLATE: Points = np.vstack([TEMPLATE[:3], TEMPLATE[3:].mean(0)])
_CROP_PX = 64
# Below this confidence the places that BlazeFace found are the better ones.
_MIN_MESH_CONFIDENCE = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceProposal:
    """A face in a picture.

    Attributes:
        box: left, top, width, height in px, as BlazeFace frames a face.
        crop_to_picture: from the unit square of the face's crop (see `framing`) to px.
        score: BlazeFace's, in [0, 1].
        confidence: the Landmarker's, in [0, 1].
    """

    box: tuple[float, float, float, float]
    crop_to_picture: Similarity
    score: float
    confidence: float


class FaceDetector:
    """Finds faces in batches of equally large pictures, on the device of its networks."""

    def __init__(
        self, network: Callable[[Tensor], FaceMaps], landmarker: LandmarkPredictor
    ) -> None:
        """Join the networks, whoever computes them.

        Args:
            network: BlazeFace.
            landmarker: the Landmarker.
        """
        self._network = network
        self._landmarker = landmarker

    def detect(self, pictures: Tensor) -> list[list[FaceProposal]]:
        """Find faces in (N, 3, H, W) float RGB pictures in [0, 1]; H and W multiples of 32.

        Returns:
            The proposals in each picture, the likeliest first; those that are hardly faces, too.
        """
        (found,) = self.detect_in_batches([pictures])
        return found

    @torch.inference_mode()
    def detect_in_batches(self, batches: Sequence[Tensor]) -> list[list[list[FaceProposal]]]:
        """Do as `detect` for batches of different sizes; the Landmarker sees all of them at once.

        Returns:
            By batch and picture.
        """
        proposals = []
        for batch in batches:
            maps = self._network(batch)
            proposals += [_propose(maps, index) for index in range(len(batch))]
        pictures = [picture for batch in batches for picture in batch]
        found = iter(self._look_closer(pictures, proposals))
        return [list(islice(found, len(batch))) for batch in batches]

    def _look_closer(
        self, pictures: Sequence[Tensor], proposals: "Sequence[Sequence[_Proposal]]"
    ) -> list[list[FaceProposal]]:
        """Judge the proposals of each picture."""
        fits = [
            [fit_similarity(_KEYPOINT_TEMPLATE, one.keypoints[:4]) for one in in_picture]
            for in_picture in proposals
        ]
        crops = [_cut_crops(*pair) for pair in zip(pictures, fits, strict=True) if pair[1]]
        if not crops:
            return [[] for _ in pictures]
        prediction = self._landmarker(torch.cat(crops))
        judged = zip(
            prediction.confidence.float().tolist(),
            prediction.landmarks.float().cpu().numpy(),
            strict=True,
        )
        return [
            [
                _judged(proposal, fit, *next(judged))
                for proposal, fit in zip(in_picture, fits_of_picture, strict=True)
            ]
            for in_picture, fits_of_picture in zip(proposals, fits, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class _Proposal:
    box: tuple[float, float, float, float]
    keypoints: Points  # (6, 2)
    score: float


def _judged(
    proposal: _Proposal, fit: Similarity, confidence: float, mesh: npt.NDArray[np.float32]
) -> FaceProposal:
    return FaceProposal(
        box=proposal.box,
        crop_to_picture=_refine(fit, mesh, confidence=confidence),
        score=proposal.score,
        confidence=confidence,
    )


def _propose(maps: FaceMaps, index: int) -> list[_Proposal]:
    """The network's proposals in one picture, each face once."""
    scores = maps.scores[index].flatten()
    likeliest = scores.topk(min(_MAX_PROPOSALS, len(scores)))
    chosen = likeliest.indices[likeliest.values >= _MIN_SCORE]
    boxes = maps.boxes[index].flatten(0, 1)[chosen].double().cpu().numpy()
    keypoints = maps.keypoints[index].flatten(0, 1)[chosen].double().cpu().numpy()
    boxes = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)
    values = scores[chosen].double().cpu().numpy()
    return [
        _Proposal(
            box=tuple(np.average(boxes[group], axis=0, weights=values[group]).tolist()),
            keypoints=np.average(keypoints[group], axis=0, weights=values[group]),
            score=float(values[group[0]]),
        )
        for group in group_boxes(boxes)
    ]


def group_boxes(boxes: npt.NDArray[np.float64]) -> list[list[int]]:
    """Group (K, 4) boxes (left, top, width, height) that mean one face.

    Each group is led by the first box that is in no group before it.
    """
    left = list(range(len(boxes)))
    groups = []
    while left:
        overlaps = _overlaps(boxes[left[0]], boxes[left]) > _SAME_FACE_IOU
        overlaps[0] = True  # also of a box without an area
        groups.append([k for k, same in zip(left, overlaps, strict=True) if same])
        left = [k for k, same in zip(left, overlaps, strict=True) if not same]
    return groups


def _overlaps(
    box: npt.NDArray[np.float64], others: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Intersection over union of a box with (K, 4) others."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:])
    common = np.clip(high - low, 0, None).prod(1)
    union = box[2:].prod() + others[:, 2:].prod(1) - common
    return np.divide(common, union, out=np.zeros(len(others)), where=union > 0)


def _cut_crops(picture: Tensor, crop_to_picture: Sequence[Similarity]) -> Tensor:
    """(3, H, W) -> (K, 3, 32, 32): upright crops; beyond the picture its border is repeated."""
    height, width = picture.shape[-2:]
    # From [-1, 1] of the crop to [-1, 1] of the picture, as affine_grid wants it.
    to_unit = np.array([[0.5, 0, 0.5], [0, 0.5, 0.5], [0, 0, 1]])
    to_picture = np.array([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1]])
    maps = np.stack([to_picture @ np.vstack([m, [0, 0, 1]]) @ to_unit for m in crop_to_picture])
    theta = torch.from_numpy(maps[:, :2]).to(picture)
    grid = F.affine_grid(theta, [len(theta), 3, _CROP_PX, _CROP_PX], align_corners=False)
    pictures = picture.expand(len(theta), -1, -1, -1)
    crops = F.grid_sample(
        pictures, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return resize_bicubic(crops, height=32, width=32)


def _refine(fit: Similarity, mesh: npt.NDArray[np.float32], *, confidence: float) -> Similarity:
    """The crop by the five points of the mesh, if the Landmarker is sure of them."""
    if confidence < _MIN_MESH_CONFIDENCE:
        return fit
    return fit_similarity(TEMPLATE, transform(fit, mesh_points(mesh, width=1, height=1)))
