"""Resizing and blurring a batch in which each image has its own size and its own kernel.

Images of different sizes share one square canvas (N, 3, C, C): image i fills the upper left
``sides[i]`` pixels of it, and its last row and column are repeated beyond them.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

NUM_KERNELS = 3  # box ("area"), triangle ("bilinear"), cubic


def resize_canvas(
    canvas: Tensor, *, from_sides: Tensor, to_sides: Tensor, canvas_px: int, kernels: Tensor
) -> Tensor:
    """Resize each image of a canvas by its own factor with its own antialiased kernel.

    Args:
        canvas: (N, 3, C, C).
        from_sides: (N,) whole sides of the images, at most C.
        to_sides: (N,) whole sides to resize to, at most ``canvas_px``.
        canvas_px: Side of the returned canvas.
        kernels: (N,) 0 for box, 1 for triangle, 2 for cubic (a = -0.5, Pillow's).

    Returns:
        (N, 3, canvas_px, canvas_px); a cubic kernel may leave the input's range.
    """
    weights = _resize_weights(
        from_sides.to(canvas), to_sides.to(canvas), canvas.shape[-1], canvas_px, kernels
    )[:, None]
    return weights @ canvas @ weights.transpose(2, 3)


def _resize_weights(
    from_sides: Tensor, to_sides: Tensor, columns: int, rows: int, kernels: Tensor
) -> Tensor:
    """(N, rows, columns): row o holds the share of each input pixel in output pixel o."""
    scale = (from_sides / to_sides)[:, None, None]
    support = scale.clamp_min(1)  # antialiased: the kernel widens with the reduction
    output = torch.arange(rows, device=from_sides.device)[None, :, None]
    output = torch.minimum(output, to_sides[:, None, None] - 1)  # repeat the last row
    source = torch.arange(columns, device=from_sides.device)
    distance = ((source + 0.5 - (output + 0.5) * scale) / support).abs()
    box = ((0.5 + 0.5 / support - distance) * support).clamp(0, 1)  # a pixel's covered share
    triangle = (1 - distance).clamp_min(0)
    cubic = torch.where(
        distance < 1,
        (1.5 * distance - 2.5) * distance**2 + 1,
        ((2.5 - 0.5 * distance) * distance - 4) * distance + 2,
    )
    cubic = torch.where(distance < 2, cubic, 0.0)
    kind = kernels[:, None, None]
    weights = torch.where(kind == 0, box, torch.where(kind == 1, triangle, cubic))
    weights = torch.where(source < from_sides[:, None, None], weights, 0.0)
    return weights / weights.sum(2, keepdim=True)


def blur_gaussian(
    canvas: Tensor, *, sigma_x: Tensor, sigma_y: Tensor, angle: Tensor, max_sigma: float
) -> Tensor:
    """Blur each image by its own Gaussian, borders repeated.

    Computed as a product in the frequency domain: the cost is the same for any kernel.

    Args:
        canvas: (N, 3, C, C).
        sigma_x: (N,) pixels, along the first axis of the Gaussian; 0 does not blur.
        sigma_y: (N,) pixels, along the second.
        angle: (N,) radians that the first axis is turned from the x axis towards y.
        max_sigma: Bound of all sigmas; sets the margin, so that it is the same in every batch.
    """
    side = canvas.shape[-1]
    # 3 sigmas hold a Gaussian. In steps of 8, because an FFT of 148 pixels (4 x 37) takes twice
    # as long as one of 144.
    margin = 8 * math.ceil(3 * max_sigma / 8)
    padded = F.pad(canvas, (margin, margin, margin, margin), mode="replicate")
    size = side + 2 * margin
    u = torch.fft.rfftfreq(size, device=canvas.device)
    v = torch.fft.fftfreq(size, device=canvas.device)[:, None]
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    along = sigma_x[:, None, None] * (cos * u + sin * v)
    across = sigma_y[:, None, None] * (cos * v - sin * u)
    transfer = torch.exp(-2 * torch.pi**2 * (along**2 + across**2))[:, None]
    blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(padded) * transfer, s=(size, size))
    return blurred[..., margin : margin + side, margin : margin + side]
