"""How far two faces' landmarks lie apart, in inter-ocular distances.

For PyTorch's tensors and NumPy's arrays alike: for one pair PyTorch takes ten times as long.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from model_store.landmarks.topology import LEFT_EYE_OUTER_CORNER, RIGHT_EYE_OUTER_CORNER

ArrayT = TypeVar("ArrayT", Tensor, npt.NDArray[np.float32])


def normalised_mean_error(
    predicted: ArrayT, truth: ArrayT, *, nodes: Sequence[int] | None = None
) -> ArrayT:
    """Landmark NME for each of N faces: mean distance in the image plane by inter-ocular distance.

    Args:
        predicted: (N, 478, 3).
        truth: (N, 478, 3); gives the distance between the outer eye corners.
        nodes: Indices of the landmarks that count; None counts all.
    """
    apart = _lengths(predicted[..., :2] - truth[..., :2])
    distance: ArrayT = (apart if nodes is None else apart[:, list(nodes)]).mean(-1)
    return distance / interocular_distance(truth)


def interocular_distance(landmarks: ArrayT) -> ArrayT:
    """(N, 478, 3) -> (N,) distance between the outer eye corners, in crop units."""
    across = landmarks[:, LEFT_EYE_OUTER_CORNER, :2] - landmarks[:, RIGHT_EYE_OUTER_CORNER, :2]
    return _lengths(across)


def _lengths(vectors: ArrayT) -> ArrayT:
    """(..., 2) -> (...)."""
    squares = vectors * vectors
    # Not sum(-1), which NumPy takes five times as long for.
    length: ArrayT = (squares[..., 0] + squares[..., 1]) ** 0.5
    return length
