"""Faces laid out in one picture, for TensorBoard."""

import torch
from torch import Tensor

_GAP_PX = 2


def tile_faces(faces: Tensor) -> Tensor:
    """Lay out faces in rows and columns, a black gap between them.

    Args:
        faces: (rows, columns, 3, H, W) float RGB; clamped to [0, 1].

    Returns:
        (3, height, width) uint8 RGB on the CPU.
    """
    levels = faces.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8).cpu()
    padded = torch.nn.functional.pad(levels, (0, _GAP_PX, 0, _GAP_PX))
    rows, columns, channels, height, width = padded.shape
    grid = padded.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)
    return grid[:, :-_GAP_PX, :-_GAP_PX].contiguous()


def mark_points(images: Tensor, points: Tensor, *, colour: tuple[float, float, float]) -> Tensor:
    """Set the pixels under points.

    Args:
        images: (N, 3, H, W) float RGB.
        points: (N, P, 2 or more); x, y in [0, 1] of the image. Those outside mark its border.
        colour: RGB in [0, 1].
    """
    height, width = images.shape[-2:]
    x = (points[..., 0] * width).long().clamp(0, width - 1)
    y = (points[..., 1] * height).long().clamp(0, height - 1)
    flat = images.flatten(2).clone()  # (N, 3, H W)
    place = (y * width + x)[:, None].expand(-1, 3, -1)  # (N, 3, P)
    value = images.new_tensor(colour)[None, :, None].expand_as(place)
    return flat.scatter_(2, place, value).view_as(images)
