"""Distances between pixels: everywhere, or around the parts of a face that express."""

import torch
from torch import Tensor

from model_store.landmarks.topology import EYEBROWS, LEFT_EYE, MOUTH, RIGHT_EYE

# A hundredth of what 8-bit rounding costs, so that equal images have a finite logarithm.
_NEGLIGIBLE_SQUARED_ERROR = 1e-8
_EXPRESSIVE = (*MOUTH, *LEFT_EYE, *RIGHT_EYE, *EYEBROWS)
# Of each landmark's Gaussian, in crop units: about 6 px of 128, so that an open mouth is covered
# from the lips on and the mask fades out before the cheeks.
_REGION_SIGMA = 0.05


def l1_distance(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean absolute difference of N images (III-E, first term), (N,)."""
    return (sr - hr).abs().mean((1, 2, 3))


def log_squared_error(sr: Tensor, hr: Tensor) -> Tensor:
    """Natural logarithm of the mean squared difference of N images, (N,): PSNR but for a factor."""
    return (sr - hr).square().mean((1, 2, 3)).add(_NEGLIGIBLE_SQUARED_ERROR).log()


def region_distance(sr: Tensor, hr: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference under a mask (N, 1, H, W) of weights, (N,)."""
    difference = (sr - hr).abs().mean(1, keepdim=True)
    return (difference * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3))


def expressive_regions(landmarks: Tensor, *, height: int, width: int) -> Tensor:
    """Return a smooth mask of eyes, brows and mouth.

    Args:
        landmarks: (N, 478, 3); x, y in [0, 1] of the image.
        height: Pixels of the image.
        width: Pixels of the image.

    Returns:
        (N, 1, height, width) in [0, 1]: above 0.6 at each landmark, near 1 among many.
    """
    points = landmarks[:, list(_EXPRESSIVE)]
    # exp(-(dx^2 + dy^2)) is a product, so the sum over points is one small matrix product.
    across, down = (
        _gaussians(points[:, :, axis], num_pixels=size) for axis, size in ((0, width), (1, height))
    )
    with torch.autocast(landmarks.device.type, enabled=False):
        density = down.transpose(1, 2) @ across  # (N, height, width)
    return 1 - torch.exp(-density)[:, None]


def _gaussians(positions: Tensor, *, num_pixels: int) -> Tensor:
    """(N, P) positions in [0, 1] -> (N, P, num_pixels) Gaussians of height 1 at pixel centres."""
    centres = (torch.arange(num_pixels, device=positions.device) + 0.5) / num_pixels
    distance = (centres - positions[:, :, None]) / _REGION_SIGMA
    return torch.exp(-0.5 * distance.square())
