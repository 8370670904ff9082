"""Landmark errors in inter-ocular distances, and how far a confidence can be trusted."""

from collections.abc import Sequence

import torch
from torch import Tensor

from model_store.landmarks.topology import (
    LEFT_EYE_OUTER_CORNER,
    OPENINGS,
    RIGHT_EYE_OUTER_CORNER,
)

_CALIBRATION_BINS = 10
# A prediction within this NME counts as right; the Landmarker's confidence is the probability
# of that.
RIGHT_WITHIN_NME = 0.08


def normalised_mean_error(
    predicted: Tensor, truth: Tensor, *, nodes: Sequence[int] | None = None
) -> Tensor:
    """Landmark NME for each of N faces: mean distance in the image plane by inter-ocular distance.

    Args:
        predicted: (N, 478, 3).
        truth: (N, 478, 3); gives the distance between the outer eye corners.
        nodes: Indices of the landmarks that count; None counts all.
    """
    apart = (predicted[..., :2] - truth[..., :2]).norm(dim=-1)
    distance = (apart if nodes is None else apart[:, list(nodes)]).mean(-1)
    error: Tensor = distance / interocular_distance(truth)
    return error


def interocular_distance(landmarks: Tensor) -> Tensor:
    """(N, 478, 3) -> (N,) distance between the outer eye corners, in crop units."""
    across = landmarks[:, LEFT_EYE_OUTER_CORNER, :2] - landmarks[:, RIGHT_EYE_OUTER_CORNER, :2]
    distance: Tensor = across.norm(dim=-1)
    return distance


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


def calibration_error(confidence: Tensor, is_right: Tensor) -> float:
    """Expected calibration error of N confidences: |mean confidence - share right| over 10 bins."""
    bins = (confidence * _CALIBRATION_BINS).long().clamp(max=_CALIBRATION_BINS - 1)
    gaps = torch.zeros(_CALIBRATION_BINS, dtype=torch.float64)
    gaps.index_add_(0, bins, confidence.double() - is_right.double())
    return float(gaps.abs().sum() / len(confidence))
