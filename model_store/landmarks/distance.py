"""How far two faces' landmarks lie apart, in inter-ocular distances."""

from collections.abc import Sequence

from torch import Tensor

from model_store.landmarks.topology import LEFT_EYE_OUTER_CORNER, RIGHT_EYE_OUTER_CORNER


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
