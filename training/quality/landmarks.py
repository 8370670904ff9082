"""How far mouth and eyes are open, and how far a landmarker's confidence can be trusted."""

import torch
from torch import Tensor

from model_store.landmarks.distance import interocular_distance
from model_store.landmarks.topology import OPENINGS

# A prediction within this NME counts as right; the Landmarker's confidence is the probability
# of that.
RIGHT_WITHIN_NME = 0.08


def openings(landmarks: Tensor) -> Tensor:
    """(N, 478, 3) -> (N, 3) gaps of mouth, right and left eye, in inter-ocular distances."""
    upper, lower = (list(edge) for edge in zip(*OPENINGS, strict=True))
    # The tiny constant gives a closed mouth, where the norm has none, a gradient.
    gap = (landmarks[:, upper, :2] - landmarks[:, lower, :2]).square().sum(-1).add(1e-12).sqrt()
    opening: Tensor = gap / interocular_distance(landmarks)[:, None]
    return opening


def mouth_opening(landmarks: Tensor) -> Tensor:
    """(N, 478, 3) -> (N,) gap between the inner lips, in inter-ocular distances."""
    return openings(landmarks)[:, 0]


def calibration_error(confidence: Tensor, is_right: Tensor, *, num_bins: int = 10) -> float:
    """Expected calibration error of N confidences in [0, 1].

    The gap between mean confidence and share right in equal bins, weighed by their faces.
    """
    bins = (confidence * num_bins).long().clamp(max=num_bins - 1)
    gaps = torch.zeros(num_bins, dtype=torch.float64)
    gaps.index_add_(0, bins, confidence.double() - is_right.double())
    return float(gaps.abs().sum() / len(confidence))
