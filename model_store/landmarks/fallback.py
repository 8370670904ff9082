"""Which landmarks a face is upscaled with: the Landmarker's, or the mean face when unsure.

One function for training, evaluation and serving, so that a network never meets another rule
than the one it was trained with.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from model_store.landmarks.landmarker import LandmarkPrediction

MIN_CONFIDENCE = 0.5


@dataclass(frozen=True)
class ChosenLandmarks:
    """Landmarks for N faces and where they come from.

    Attributes:
        landmarks: (N, 478, 3); x, y in [0, 1] of the crop, z on x's scale.
        confidence: (N,) the Landmarker's, in [0, 1].
        is_fallback: (N,) bool; the mean face stands in.
    """

    landmarks: Tensor
    confidence: Tensor
    is_fallback: Tensor


class LandmarkPredictor(Protocol):
    """The Landmarker, whoever computes it."""

    @property
    def mean_landmarks(self) -> Tensor:
        """(478, 3): the mean face."""
        ...

    def __call__(self, lr: Tensor) -> LandmarkPrediction:
        """Find the landmarks of faces in (N, 3, h, h) float RGB crops in [0, 1], any h."""
        ...


def choose_landmarks(
    landmarker: LandmarkPredictor, lr: Tensor, *, min_confidence: float = MIN_CONFIDENCE
) -> ChosenLandmarks:
    """Find landmarks in (N, 3, h, h) crops in [0, 1]; below ``min_confidence`` the mean face."""
    prediction = landmarker(lr)
    confidence = prediction.confidence
    is_fallback = confidence < min_confidence
    landmarks = torch.where(
        is_fallback[:, None, None], landmarker.mean_landmarks, prediction.landmarks
    )
    return ChosenLandmarks(landmarks, confidence, is_fallback)
