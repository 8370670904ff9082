"""Random changes of a batch of labelled faces, none of which changes the expression.

Whole batches of tensors, as in training.data.augmentation; there are no landmarks to follow.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from model_store.image_tensor import resize_bicubic, round_to_uint8_levels
from training.config import AugmentationConfig, ExpressionTaskConfig
from training.data.augmentation import find_rows, recolour_faces, scale_draws, warp_images
from training.data.draws import BatchDraws
from training.data.resampling import resize_canvas

_CUBIC = 2
# Longest side over shortest, of what is painted over.
_MAX_ERASED_ASPECT = 3.0


def augment_expressions(
    images: Tensor,
    *,
    config: AugmentationConfig,
    task: ExpressionTaskConfig,
    draws: BatchDraws,
) -> Tensor:
    """Mirror, warp, recolour, reduce and partly cover faces, each by its own draw.

    Args:
        images: (N, 3, H, H) float RGB in [0, 1].
        config: Shares and ranges of mirroring, warp and colour.
        task: Those of low resolution and erasing.
        draws: Source of all that is random.

    Returns:
        (N, 3, H, H) in [0, 1].
    """
    mirrored = find_rows(draws.uniform() < config.flip_probability, images.device)
    images = images.index_copy(0, mirrored, images[mirrored].flip(3))
    drawn = draws.uniform(5)
    warped = find_rows(drawn[:, 0] < config.warp_probability, images.device)
    if len(warped):
        signed = 2 * drawn[:, 1:].to(images.device)[warped] - 1
        changed = warp_images(images[warped], scale_draws(signed, config))
        images = images.index_copy(0, warped, changed)
    images = recolour_faces(images, config=config, draws=draws)
    images = _lower_resolution(
        images,
        probability=task.low_resolution_probability,
        sides_px=task.low_resolution_sides_px,
        draws=draws,
    )
    return _erase(
        images, probability=task.erasing_probability, share=task.erased_share, draws=draws
    )


def reduce_and_enlarge(images: Tensor, *, side_px: int) -> Tensor:
    """What is left of (N, 3, H, H) faces in [0, 1] once they were ``side_px`` large, in 8 bits.

    Bicubic both ways, as Pillow's. Faces that are no larger stay as they are.
    """
    height, width = images.shape[-2:]
    if side_px >= height:
        return images
    small = round_to_uint8_levels(resize_bicubic(images, height=side_px, width=side_px))
    return round_to_uint8_levels(resize_bicubic(small, height=height, width=width))


def _lower_resolution(
    images: Tensor, *, probability: float, sides_px: Sequence[int], draws: BatchDraws
) -> Tensor:
    """What :func:`reduce_and_enlarge` does, to a side that is drawn for each face."""
    drawn = draws.uniform(2)
    rows = find_rows(drawn[:, 0] < probability, images.device)
    if len(rows) == 0:
        return images
    low, high = (math.log(side) for side in sides_px)
    sides = torch.exp(low + (high - low) * drawn[:, 1]).round().long()
    sides = sides.to(images.device)[rows]
    full = torch.full_like(sides, images.shape[-1])
    kernels = torch.full_like(sides, _CUBIC)
    small = resize_canvas(
        images[rows], from_sides=full, to_sides=sides, canvas_px=max(sides_px), kernels=kernels
    )
    back = resize_canvas(
        round_to_uint8_levels(small),
        from_sides=sides,
        to_sides=full,
        canvas_px=images.shape[-1],
        kernels=kernels,
    )
    return images.index_copy(0, rows, round_to_uint8_levels(back))


def _erase(
    images: Tensor, *, probability: float, share: Sequence[float], draws: BatchDraws
) -> Tensor:
    """Paint a rectangle in the face's mean colour (Zhong et al. 2020, "Random Erasing")."""
    drawn = draws.uniform(5).to(images.device)
    side = images.shape[-1]
    area = share[0] + (share[1] - share[0]) * drawn[:, 1]
    aspect = torch.exp((2 * drawn[:, 2] - 1) * math.log(_MAX_ERASED_ASPECT))
    height = (area * aspect).sqrt().clamp(max=1) * side
    width = (area / aspect).sqrt().clamp(max=1) * side
    top, left = drawn[:, 3] * (side - height), drawn[:, 4] * (side - width)
    place = torch.arange(side, device=images.device) + 0.5  # of a pixel's centre
    is_row = (place >= top[:, None]) & (place < (top + height)[:, None])
    is_column = (place >= left[:, None]) & (place < (left + width)[:, None])
    is_chosen = (drawn[:, 0] < probability)[:, None, None]
    is_covered = (is_row[:, :, None] & is_column[:, None, :] & is_chosen)[:, None]
    return torch.where(is_covered, images.mean((2, 3), keepdim=True), images)
