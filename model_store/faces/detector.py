"""From pictures to the faces in them: BlazeFace proposes, the Landmarker judges and aligns.

BlazeFace at a low threshold finds nearly every face, and things that are none. A proposal is cut
out by its eyes, nose and mouth, and the Landmarker (which was made for crops of 32 px and has
learnt to turn down pictures without a face) says how sure it is of a face there, and where its
features are more exactly. `finding` says which proposals are worth its while.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model_store.faces.blazeface import FaceMaps
from model_store.faces.framing import (
    TEMPLATE,
    Points,
    Similarity,
    fit_similarities,
    mesh_points,
    scale_of,
)
from model_store.image_tensor import levels_to_unit
from model_store.landmarks.fallback import LandmarkPredictor
from model_store.landmarks.landmarker import Landmarker

# Proposals below this are not looked at; with 0.3, a tenth more of faces of 12 px are missed.
_MIN_SCORE = 0.15
# Of one picture, the likeliest; a crowd has no more in 704 x 704 px at these sizes.
_MAX_PROPOSALS = 200
# Boxes that overlap more than this mean one face, as in MediaPipe.
_SAME_FACE_IOU = 0.3
# Eyes, nose, and the middle of the mouth, which is what BlazeFace finds of it.
_KEYPOINT_TEMPLATE: Points = np.vstack([TEMPLATE[:3], TEMPLATE[3:].mean(0)])
# Crops with a shorter side, in px, were never taken for a face by the Landmarker; those with a
# longer one, in sides of their picture, are no face that it shows.
_MIN_SIDE_PX = 4
_MAX_SIDE = 2
_UNCHANGED: Similarity = np.array([[1.0, 0, 0], [0, 1, 0]])

MIN_MESH_CONFIDENCE = 0.5
"""Below this confidence of the Landmarker the places that BlazeFace found are the better ones."""

JUDGED_PX = 64
"""Side of the crops that are judged: twice what the Landmarker sees, see `framing.sample_crop`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceProposal:
    """What may be a face in a picture.

    Attributes:
        box: left, top, width, height in px, as BlazeFace frames a face.
        crop_to_picture: from the unit square of the face's crop (see `framing`) to px.
        score: BlazeFace's, in [0, 1].
    """

    box: tuple[float, float, float, float]
    crop_to_picture: Similarity
    score: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    """What the Landmarker says of a crop.

    Attributes:
        confidence: in [0, 1], that it shows a face.
        better_crop: from the unit square of the crop that its mesh asks for to that of the crop
            which was judged; it changes nothing where the Landmarker is not sure.
    """

    confidence: float
    better_crop: Similarity


class FaceDetector:
    """Finds faces in batches of equally large pictures, on the device of its networks."""

    def __init__(
        self, look_at: Callable[[Tensor], FaceMaps], landmarker: LandmarkPredictor
    ) -> None:
        """Join the networks, whoever computes them.

        Args:
            look_at: BlazeFace's, see `BlazeFace.look_at`.
            landmarker: the Landmarker.
        """
        self._look_at = look_at
        self._landmarker = landmarker

    @torch.inference_mode()
    def propose(self, pictures: Tensor) -> list[list[FaceProposal]]:
        """Say what may be a face in (N, H, W, 3) uint8 RGB pictures; H and W multiples of 32.

        Returns:
            The proposals in each picture, the likeliest first; most of them are faces.
        """
        maps = self._look_at(pictures)
        largest_px = _MAX_SIDE * max(pictures.shape[1:3])
        return [_propose(maps, index, largest_px=largest_px) for index in range(len(pictures))]

    @torch.inference_mode()
    def judge(self, crops: Tensor) -> list[Judgement]:
        """Judge (N, h, h, 3) uint8 RGB crops of what was proposed."""
        prediction = self._landmarker(Landmarker.to_grid(levels_to_unit(crops)))
        confidences = prediction.confidence.float().tolist()
        points = mesh_points(prediction.landmarks.float().cpu().numpy(), width=1, height=1)
        return [
            Judgement(
                confidence=confidence,
                better_crop=better_crop if confidence >= MIN_MESH_CONFIDENCE else _UNCHANGED,
            )
            for confidence, better_crop in zip(
                confidences, fit_similarities(TEMPLATE, points), strict=True
            )
        ]


def _propose(maps: FaceMaps, index: int, *, largest_px: float) -> list[FaceProposal]:
    """The network's proposals in one picture, each face once."""
    # In NumPy: PyTorch's threads take longer to come together than so little work takes.
    scores = maps.scores[index].flatten().cpu().numpy()
    cells = np.flatnonzero(scores >= _MIN_SCORE)
    cells = cells[np.argsort(-scores[cells], kind="stable")[:_MAX_PROPOSALS]]
    if not len(cells):
        return []
    boxes, keypoints = (
        part.double().cpu().numpy()
        for part in maps.faces_at(index, torch.from_numpy(cells).to(maps.places.device))
    )
    boxes = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)
    groups = group_boxes(boxes)
    weights = np.zeros((len(groups), len(cells)))  # each face's mean is that of its boxes
    for face, members in enumerate(groups):
        weights[face, members] = scores[cells[members]]
    weights /= weights.sum(1, keepdims=True)
    points = np.einsum("fk,kpx->fpx", weights, keypoints[:, : len(_KEYPOINT_TEMPLATE)])
    return [
        FaceProposal(
            box=tuple(box),
            crop_to_picture=crop_to_picture,
            score=float(scores[cells[leader]]),
        )
        for box, crop_to_picture, (leader, *_) in zip(
            (weights @ boxes).tolist(),
            fit_similarities(_KEYPOINT_TEMPLATE, points),
            groups,
            strict=True,
        )
        if _MIN_SIDE_PX <= scale_of(crop_to_picture) <= largest_px
    ]


def group_boxes(boxes: npt.NDArray[np.float64]) -> list[list[int]]:
    """Group (K, 4) boxes (left, top, width, height) that mean one face.

    Each group is led by the first box that is in no group before it.
    """
    return group(len(boxes), lambda leader, left: have_one_face(boxes[leader], boxes[left]))


def have_one_face(
    box: npt.NDArray[np.float64], others: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Say of (K, 4) boxes which overlap one so much that they mean its face."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:])
    common = np.clip(high - low, 0, None).prod(1)
    union = box[2:].prod() + others[:, 2:].prod(1) - common
    same: npt.NDArray[np.bool_] = common > _SAME_FACE_IOU * union
    return same


def group(
    count: int, is_same: Callable[[int, npt.NDArray[np.intp]], npt.NDArray[np.bool_]]
) -> list[list[int]]:
    """Group things that are one, the best of which come first.

    Args:
        count: of the things.
        is_same: given a group's leader and those that are in no group yet, says which join it.

    Returns:
        Their indices; each group begins with the first that is in no group before it.
    """
    left = np.arange(count)
    groups = []
    while len(left):
        same = is_same(int(left[0]), left)
        same[0] = True  # also of a box without an area
        groups.append(left[same].tolist())
        left = left[~same]
    return groups
