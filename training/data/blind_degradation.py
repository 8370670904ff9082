"""The damage of real photographs: blur, resizing, noise and JPEG, twice over.

The second-order degradation of Real-ESRGAN (Wang et al. 2021, section 3.1), for faces: a face in
a video or on the web has been through at least one camera and one encoder before somebody cuts it
out. Taken from the paper: both rounds, the kinds of blur, resize and noise, and the last resize
before or after the last JPEG. Left out: its sinc filter. Changed: an image never grows beyond its
first size; sizes and blurs are told in pixels of the LR image, so that x4 and x8 share their
meaning; and shot noise is normal, as a Poisson distribution of many photons nearly is.
"""

import math

import torch
from torch import Tensor

from model_store.image_tensor import round_to_uint8_levels
from training.config import BlindDegradationConfig, DegradationRoundConfig
from training.data.item_draws import ItemDraws
from training.data.jpeg import BLOCK_PX, compress_jpeg
from training.data.resampling import NUM_KERNELS, blur_gaussian, resize_canvas


def degrade_blindly(
    hr: Tensor, *, side_px: int, config: BlindDegradationConfig, draws: ItemDraws
) -> Tensor:
    """Send each face through two rounds of damage, down to the LR side.

    Args:
        hr: (N, 3, H, H) float RGB in [0, 1]; H divisible by 16.
        side_px: Side of the result, at most H and divisible by 16.
        config: Shares and ranges of the damage.
        draws: N items' draws; an image's result depends on its own alone.

    Returns:
        (N, 3, side_px, side_px) in [0, 1], multiples of 1/255.
    """
    full_px = hr.shape[-1]
    sides = torch.full((len(hr),), full_px, device=hr.device)
    first, second = config.first, config.second
    image, sides = _blur_and_resize(hr, sides, first, draws, lr_side_px=side_px)
    image = _add_noise(image, first, draws)
    image = _compress(image, draws.happens(first.jpeg_probability), _quality(first, draws))
    image, sides = _blur_and_resize(image, sides, second, draws, lr_side_px=side_px)
    image = _add_noise(image, second, draws)
    has_jpeg, quality = draws.happens(second.jpeg_probability), _quality(second, draws)
    is_last = draws.happens(0.5)
    image = _compress(image, has_jpeg & ~is_last, quality)
    image = resize_canvas(
        image,
        from_sides=sides,
        to_sides=torch.full_like(sides, side_px),
        canvas_px=side_px,
        kernels=_draw_kernels(draws),
    )
    return _compress(round_to_uint8_levels(image), has_jpeg & is_last, quality)


def _blur_and_resize(
    canvas: Tensor,
    sides: Tensor,
    config: DegradationRoundConfig,
    draws: ItemDraws,
    *,
    lr_side_px: int,
) -> tuple[Tensor, Tensor]:
    per_lr_pixel = sides / lr_side_px
    is_blurred = draws.happens(config.blur_probability)
    is_round = ~draws.happens(config.anisotropic_probability)
    sigma_x = draws.uniform(*config.blur_sigma)
    sigma_y = torch.where(is_round, sigma_x, draws.uniform(*config.blur_sigma))
    strength = torch.where(is_blurred, per_lr_pixel, 0.0)
    blurred = blur_gaussian(
        canvas,
        sigma_x=sigma_x * strength,
        sigma_y=sigma_y * strength,
        angle=draws.uniform(0, torch.pi),
        max_sigma=config.blur_sigma[1] * canvas.shape[-1] / lr_side_px,
    )
    target = (draws.uniform(*config.resize_side) * lr_side_px).round()
    target = target.clamp(1, canvas.shape[-1])
    largest = min(config.resize_side[1] * lr_side_px, canvas.shape[-1])
    resized = resize_canvas(
        blurred,
        from_sides=sides,
        to_sides=target,
        canvas_px=BLOCK_PX * math.ceil(largest / BLOCK_PX),
        kernels=_draw_kernels(draws),
    )
    return resized, target


def _add_noise(image: Tensor, config: DegradationRoundConfig, draws: ItemDraws) -> Tensor:
    """Add sensor noise that is even, or shot noise that grows with the root of the light."""
    is_noisy = draws.happens(config.noise_probability)
    is_shot = draws.happens(config.shot_noise_probability)[:, None, None, None]
    is_grey = draws.happens(config.grey_noise_probability)[:, None, None, None]
    sigma = torch.where(is_noisy, draws.uniform(*config.noise_sigma), 0.0)[:, None, None, None]
    noise = draws.normal(*image.shape[1:])
    noise = torch.where(is_grey, noise[:, :1], noise)
    light = torch.where(is_shot, image.clamp(0, 1).sqrt(), 1.0)
    return image + noise * light * sigma / 255


def _compress(image: Tensor, is_chosen: Tensor, quality: Tensor) -> Tensor:
    rows = is_chosen.nonzero()[:, 0]
    return image.index_copy(0, rows, compress_jpeg(image[rows], quality=quality[rows]))


def _quality(config: DegradationRoundConfig, draws: ItemDraws) -> Tensor:
    return draws.uniform(*config.jpeg_quality)


def _draw_kernels(draws: ItemDraws) -> Tensor:
    return draws.uniform(0, NUM_KERNELS).long()
