"""JPEG's damage to a batch of images, without its files: on any device, each at its own quality.

What a baseline encoder loses (ITU-T T.81): colours at half resolution, and the coefficients of
8 x 8 blocks rounded to multiples that the quality sets. Entropy coding loses nothing and is left
out.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_PX = 16  # an 8 x 8 block of colour covers 16 x 16 pixels at 4:2:0

# T.81, Annex K, tables K.1 and K.2: what every encoder scales by its quality.
# fmt: off
_LUMA_STEPS = (
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)
_CHROMA_STEPS = (
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    *(99,) * 32,
)
# fmt: on
# JFIF 1.02: from RGB to Y, Cb, Cr; the colours are centred on zero here.
_TO_YCC = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)


def compress_jpeg(images: Tensor, *, quality: Tensor) -> Tensor:
    """Return images as they come back from a JPEG file with colours at half resolution (4:2:0).

    Args:
        images: (N, 3, H, W) float RGB in [0, 1]; H and W divisible by 16.
        quality: (N,) from 1 to 100, on the scale of libjpeg; rounded.

    Returns:
        (N, 3, H, W) in [0, 1], multiples of 1/255.

    Raises:
        ValueError: H or W is not divisible by 16.
    """
    height, width = images.shape[-2:]
    if height % BLOCK_PX or width % BLOCK_PX:
        raise ValueError(f"images are {width} x {height} px; each side must be divisible by 16")
    to_ycc = images.new_tensor(_TO_YCC)
    levels = (images.clamp(0, 1) * 255).round()
    ycc = torch.einsum("ij,njhw->nihw", to_ycc, levels).round()
    luma = _quantise(ycc[:, :1] - 128, _quantisation_steps(_LUMA_STEPS, quality)) + 128
    halved = F.avg_pool2d(ycc[:, 1:], 2).round()
    chroma = _quantise(halved, _quantisation_steps(_CHROMA_STEPS, quality)).clamp(-128, 127)
    # libjpeg's "fancy" upsampling weighs neighbours 3 : 1, which is what bilinear does at x2.
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False).round()
    restored = torch.cat([luma.clamp(0, 255), chroma], 1)
    rgb = torch.einsum("ij,njhw->nihw", torch.linalg.inv(to_ycc), restored)
    return rgb.round().clamp(0, 255) / 255


def _quantisation_steps(table: tuple[int, ...], quality: Tensor) -> Tensor:
    """(N, 8, 8): a table of Annex K scaled by libjpeg's rule."""
    quality = quality.round().clamp(1, 100)
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    base = quality.new_tensor(table).view(1, 8, 8)
    return ((base * percent[:, None, None] + 50) / 100).floor().clamp(1, 255)


def _quantise(planes: Tensor, steps: Tensor) -> Tensor:
    """Round the DCT coefficients of each 8 x 8 block of (N, C, H, W) to multiples of the steps."""
    height, width = planes.shape[-2:]
    down, across = _block_dct(height, planes), _block_dct(width, planes)
    tiled = steps.repeat(1, height // 8, width // 8)[:, None]
    coefficients = (down @ planes @ across.T / tiled).round() * tiled
    return (down.T @ coefficients @ across).round()


def _block_dct(side: int, like: Tensor) -> Tensor:
    """(side, side): one orthonormal 8-point DCT a block, along the diagonal."""
    index = torch.arange(8, dtype=torch.float64)
    basis = torch.cos((2 * index + 1) * index[:, None] * torch.pi / 16) / 2
    basis[0] /= 2**0.5
    blocks: Tensor = torch.block_diag(*[basis] * (side // 8))
    return blocks.to(like)
