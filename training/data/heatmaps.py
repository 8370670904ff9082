"""Landmark heatmaps, which FSRNet and DIC are taught to estimate."""

import torch
from torch import Tensor

from model_store.landmarks.ibug import IBUG_68

_SIGMA_PX = 1.0  # DIC's (published options) and the stacked hourglass's (Newell et al. 2016)


def draw_heatmaps(landmarks: Tensor, *, side_px: int) -> Tensor:
    """Draw a Gaussian of height 1 about each of IBUG_68, deviation 1 px of the heatmap.

    Args:
        landmarks: (N, 478, 3); x, y in [0, 1] of the image. One beyond the image leaves its tail.
        side_px: Side of the heatmaps.

    Returns:
        (N, 68, side_px, side_px) in [0, 1].
    """
    points = landmarks[:, list(IBUG_68), :2] * side_px  # (N, 68, 2) px from the image's corner
    centres = torch.arange(side_px, device=landmarks.device) + 0.5
    # (N, 68, 2, side): the Gaussian is the product of one across and one down.
    profiles = torch.exp(-0.5 * ((centres - points[..., None]) / _SIGMA_PX).square())
    across, down = profiles.unbind(2)
    return down[..., :, None] * across[..., None, :]
