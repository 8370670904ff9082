"""From a high-resolution face to the low-resolution image that a network is given."""

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from model_store.image_tensor import (
    image_to_tensor,
    resize_bicubic,
    round_to_uint8_levels,
    tensor_to_image,
)
from training.config import DegradationConfig
from training.data.blind_degradation import degrade_blindly
from training.data.draws import BatchDraws
from training.data.item_draws import ItemDraws, item_seeds

_BEST_JPEG_QUALITY = 95


def downsample(hr: Tensor, *, side_px: int) -> Tensor:
    """The paper's degradation (IV-A): antialiased bicubic, held in 8 bits.

    Args:
        hr: (N, 3, H, H) float RGB in [0, 1].
        side_px: Side of the result.

    Returns:
        (N, 3, side_px, side_px) in [0, 1], multiples of 1/255 (see resize_bicubic).
    """
    return round_to_uint8_levels(resize_bicubic(hr, height=side_px, width=side_px))


def degrade(
    hr: Tensor, *, side_px: int, config: DegradationConfig, draws: BatchDraws, ids: Tensor
) -> Tensor:
    """Make LR images as the configuration says; shapes and range as in :func:`downsample`.

    Of kind "blind", a face's damage follows from the seed of the draws and from the face's id: it
    is the same in any company and at any place of a batch. Nothing is drawn from ``draws`` then.

    Args:
        hr: (N, 3, H, H) float RGB in [0, 1].
        side_px: Side of the result.
        config: Kind, shares and ranges.
        draws: The step's.
        ids: (N,) whole numbers that tell the faces apart, on the CPU.
    """
    if config.kind == "blind":
        own = ItemDraws(item_seeds(draws.generator.initial_seed(), ids), device=hr.device)
        return degrade_blindly(hr, side_px=side_px, config=config.blind, draws=own)
    return _degrade_bicubic(hr, side_px=side_px, config=config, draws=draws)


def _degrade_bicubic(
    hr: Tensor, *, side_px: int, config: DegradationConfig, draws: BatchDraws
) -> Tensor:
    """Downsample with random blur before, and random noise and JPEG after.

    With every probability at zero this is :func:`downsample`.
    """
    drawn = draws.uniform(6)
    if config.blur_probability > 0:
        max_sigma = config.max_blur_sigma * hr.shape[-1] / side_px
        sigma = torch.where(drawn[:, 0] < config.blur_probability, drawn[:, 1] * max_sigma, 0.0)
        hr = _blur(hr, sigma, radius=max(1, math.ceil(3 * max_sigma)))
    lr = resize_bicubic(hr, height=side_px, width=side_px)
    if config.noise_probability > 0:
        noise = draws.normal(*lr.shape[1:], device=lr.device)
        level = torch.where(drawn[:, 2] < config.noise_probability, drawn[:, 3], 0.0)
        lr = lr + noise * (level * config.max_noise).to(lr.device)[:, None, None, None]
    lr = round_to_uint8_levels(lr)
    span = _BEST_JPEG_QUALITY - config.min_jpeg_quality
    for row in (drawn[:, 4] < config.jpeg_probability).nonzero()[:, 0].tolist():
        quality = config.min_jpeg_quality + round(float(drawn[row, 5]) * span)
        lr[row] = _through_jpeg(lr[row], quality=quality)
    return lr


def _blur(images: Tensor, sigma: Tensor, *, radius: int) -> Tensor:
    """Blur each image by its own Gaussian; a sigma of zero leaves it as it is.

    The radius is not the batch's own: what a face becomes must not depend on its company.
    """
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernels = torch.exp(-0.5 * (offsets / sigma.clamp_min(1e-3)[:, None]) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).to(images.device)  # (N, K)
    count, channels, height, width = images.shape
    weight = kernels.repeat_interleave(channels, 0)[:, None, None, :]  # (N*3, 1, 1, K)
    flat = images.reshape(1, count * channels, height, width)
    flat = F.pad(flat, (radius, radius, radius, radius), mode="reflect")
    flat = F.conv2d(flat, weight, groups=count * channels)
    flat = F.conv2d(flat, weight.transpose(2, 3), groups=count * channels)
    return flat.reshape(images.shape)


def _through_jpeg(image: Tensor, *, quality: int) -> Tensor:
    buffer = io.BytesIO()
    Image.fromarray(tensor_to_image(image)).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as decoded:
        return image_to_tensor(np.asarray(decoded.convert("RGB"))).to(image.device)
