"""Which landmarks a network is given when it is measured: its own way, or one of the controls.

A network that gains from landmarks must do better with them than without any, than with the mean
face, and than with another face's. The teacher's landmarks of the HR image are an upper bound that
no user can have; they are named as leakage wherever they were used.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from model_store.affectsrnet.network import AffectSRNet
from model_store.landmarks.fallback import choose_landmarks
from model_store.landmarks.landmarker import Landmarker
from training.errors import DataError
from training.evaluation.faces import LrFaces

LandmarkControl = Literal["lr", "none", "mean", "shuffled", "teacher"]
LANDMARK_CONTROLS: tuple[LandmarkControl, ...] = get_args(LandmarkControl)

CONTROL_MEANINGS: Mapping[LandmarkControl, str] = {
    "lr": "landmarks that the Landmarker finds in the LR image, as in serving",
    "none": "the landmark branch left out; what remains is the backbone",
    "mean": "the Landmarker's mean face for every face",
    "shuffled": "the LR landmarks of another face of the set",
    "teacher": "LEAKAGE: MediaPipe's landmarks of the original, which no user can have",
}


class LandmarkSource(Protocol):
    """Gives the landmarks with which a set's faces are upscaled."""

    def __call__(self, faces: LrFaces) -> Tensor:
        """Return (N, 478, 3)."""


class LandmarksOfLr:
    """What serving does: found in the LR image, or the mean face where that is doubtful."""

    def __init__(self, landmarker: Landmarker) -> None:
        self._landmarker = landmarker

    def __call__(self, faces: LrFaces) -> Tensor:
        with torch.inference_mode():
            return choose_landmarks(self._landmarker, faces.tensor).landmarks


class MeanLandmarks:
    """The same face for all."""

    def __init__(self, landmarker: Landmarker) -> None:
        self._mean = landmarker.mean_landmarks

    def __call__(self, faces: LrFaces) -> Tensor:
        return self._mean.expand(len(faces), *self._mean.shape)


class ShuffledLandmarks:
    """Each face gets another one's: the faces stand in a ring of seeded order and pass theirs on.

    Raises:
        DataError: when called with a set of one face.
    """

    def __init__(self, landmarker: Landmarker, *, seed: int = 0) -> None:
        self._source = LandmarksOfLr(landmarker)
        self._seed = seed

    def __call__(self, faces: LrFaces) -> Tensor:
        if len(faces) < 2:
            raise DataError(
                f"{faces.set_name} has one face; landmarks are shuffled between two or more"
            )
        ring = torch.randperm(len(faces), generator=torch.Generator().manual_seed(self._seed))
        giver = torch.empty_like(ring)
        giver[ring] = ring.roll(1)
        return self._source(faces)[giver]


class TeacherLandmarks:
    """The oracle: landmarks of the originals. The only way by which they reach a network.

    Args:
        by_set: (N, 478, 3) for each set's name, in the set's order.
    """

    def __init__(self, by_set: Mapping[str, Tensor]) -> None:
        self._by_set = by_set

    def __call__(self, faces: LrFaces) -> Tensor:
        return self._by_set[faces.set_name]


def choose_source(
    control: LandmarkControl, landmarker: Landmarker, *, teacher: Mapping[str, Tensor]
) -> LandmarkSource:
    """Return the source of a control other than "none", which is another network.

    Raises:
        ValueError: the control is "none".
    """
    match control:
        case "lr":
            return LandmarksOfLr(landmarker)
        case "mean":
            return MeanLandmarks(landmarker)
        case "shuffled":
            return ShuffledLandmarks(landmarker)
        case "teacher":
            return TeacherLandmarks(teacher)
    raise ValueError("no landmarks have no source; leave the branch out by without_landmarks()")


def without_landmarks(network: AffectSRNet) -> AffectSRNet:
    """Return the backbone of a network, its landmark branch left out, with the same weights."""
    backbone = AffectSRNet(replace(network.config, landmark_fusion=False))
    kept = backbone.state_dict().keys()
    backbone.load_state_dict({k: v for k, v in network.state_dict().items() if k in kept})
    return backbone.eval()
