"""Random changes of a batch of faces and their landmarks.

Everything works on whole batches of tensors, so that two CPU cores keep up with the network.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model_store.landmarks.topology import FLIP_PERMUTATION
from training.config import AugmentationConfig
from training.data.draws import BatchDraws

_LUMA_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601


def augment_faces(
    images: Tensor, landmarks: Tensor, *, config: AugmentationConfig, draws: BatchDraws
) -> tuple[Tensor, Tensor]:
    """Mirror, warp and recolour faces, each by its own draw.

    Args:
        images: (N, 3, H, H) float RGB in [0, 1].
        landmarks: (N, 478, 3); x, y in [0, 1] of the image, z on x's scale.
        config: Shares and ranges of the changes.
        draws: Source of all that is random.

    Returns:
        Changed images in [0, 1] and landmarks that still lie on the same points of the faces.
    """
    images, landmarks = _mirror(images, landmarks, config, draws)
    images, landmarks = _warp(images, landmarks, config, draws)
    return recolour_faces(images, config=config, draws=draws), landmarks


@dataclass(frozen=True)
class Similarity:
    """One similarity for each of N faces: rotate, magnify, move.

    Attributes:
        angle: (N,) radians, clockwise on screen.
        scale: (N,) magnification about the image's centre.
        shift: (N, 2) x and y, as a share of the side.
    """

    angle: Tensor
    scale: Tensor
    shift: Tensor


def scale_draws(signed: Tensor, config: AugmentationConfig) -> Similarity:
    """Turn (N, 4) draws from [-1, 1] into similarities within the configured ranges."""
    return Similarity(
        angle=signed[:, 0] * math.radians(config.max_rotation_degrees),
        scale=1 + signed[:, 1] * config.max_scale_change,
        shift=signed[:, 2:] * config.max_shift,
    )


def warp_faces(
    images: Tensor, landmarks: Tensor, *, similarity: Similarity
) -> tuple[Tensor, Tensor]:
    """Apply one similarity a face.

    Args:
        images: (N, 3, H, H) float RGB in [0, 1].
        landmarks: (N, 478, 3).
        similarity: N of them.

    Returns:
        Warped images (bicubic, reflected beyond the border, in [0, 1]) and landmarks.
    """
    return warp_images(images, similarity), warp_landmarks(landmarks, similarity)


def warp_images(images: Tensor, similarity: Similarity) -> Tensor:
    """The images' part of :func:`warp_faces`."""
    # grid_sample asks where an output pixel comes from, in [-1, 1]: the inverse similarity.
    inverse = _rotations(similarity.angle).transpose(1, 2)
    inverse = inverse / similarity.scale[:, None, None]
    offset = -(inverse @ (2 * similarity.shift)[:, :, None])
    theta = torch.cat([inverse, offset], dim=2)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    warped = F.grid_sample(
        images, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return warped.clamp(0, 1)


def warp_landmarks(landmarks: Tensor, similarity: Similarity) -> Tensor:
    """Move (N, 478, 3) landmarks as :func:`warp_faces` moves the image; depth follows scale."""
    scale = similarity.scale[:, None, None]
    linear = _rotations(similarity.angle) * scale
    centred = (landmarks[..., :2] - 0.5) @ linear.transpose(1, 2)
    depth = landmarks[..., 2:] * scale
    return torch.cat([centred + 0.5 + similarity.shift[:, None, :], depth], dim=2)


def _rotations(angle: Tensor) -> Tensor:
    """(N,) radians -> (N, 2, 2)."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)


def _mirror(
    images: Tensor, landmarks: Tensor, config: AugmentationConfig, draws: BatchDraws
) -> tuple[Tensor, Tensor]:
    rows = find_rows(draws.uniform() < config.flip_probability, images.device)
    permutation = torch.tensor(FLIP_PERMUTATION, device=landmarks.device)
    mirrored = landmarks[rows][:, permutation]
    mirrored[..., 0] = 1 - mirrored[..., 0]
    return (
        images.index_copy(0, rows, images[rows].flip(3)),
        landmarks.index_copy(0, rows, mirrored),
    )


def _warp(
    images: Tensor, landmarks: Tensor, config: AugmentationConfig, draws: BatchDraws
) -> tuple[Tensor, Tensor]:
    drawn = draws.uniform(5)
    rows = find_rows(drawn[:, 0] < config.warp_probability, images.device)
    if len(rows) == 0:
        return images, landmarks
    signed = 2 * drawn[:, 1:].to(images.device)[rows] - 1
    warped_images, warped_landmarks = warp_faces(
        images[rows],
        landmarks[rows],
        similarity=scale_draws(signed, config),
    )
    return (
        images.index_copy(0, rows, warped_images),
        landmarks.index_copy(0, rows, warped_landmarks),
    )


def recolour_faces(images: Tensor, *, config: AugmentationConfig, draws: BatchDraws) -> Tensor:
    """Give some (N, 3, H, H) faces in [0, 1] another gamma and gains, and take others' colour."""
    drawn = draws.uniform(6)
    rows = find_rows(drawn[:, 0] < config.colour_probability, images.device)
    signed = 2 * drawn[:, 2:].to(images.device)[rows] - 1
    gamma = (1 + signed[:, 0] * config.max_gamma_change)[:, None, None, None]
    gain = (1 + signed[:, 1:] * config.max_gain_change)[:, :, None, None]
    recoloured = (images[rows].clamp_min(1e-4).pow(gamma) * gain).clamp(0, 1)
    images = images.index_copy(0, rows, recoloured)
    rows = find_rows(drawn[:, 1] < config.grey_probability, images.device)
    weights = images.new_tensor(_LUMA_WEIGHTS)[:, None, None]
    grey = (images[rows] * weights).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    return images.index_copy(0, rows, grey)


def find_rows(is_chosen: Tensor, device: torch.device) -> Tensor:
    """(N,) booleans on the CPU -> the numbers of the rows that are true, on a device."""
    # Found on the CPU, where the draws are: a GPU would have to be waited for.
    return is_chosen.nonzero()[:, 0].to(device)
