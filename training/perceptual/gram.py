"""Gram matrices: which features occur together, wherever in the image (III-E, "style")."""

import torch
from torch import Tensor


def gram_matrices(features: Tensor) -> Tensor:
    """Return the (N, C, C) Gram matrices of (N, C, H, W) features, divided by C H W.

    Computed in float32 or better, outside autocast: the sum runs over thousands of places.
    """
    _, channels, height, width = features.shape
    with torch.autocast(features.device.type, enabled=False):
        flat = features.to(torch.promote_types(features.dtype, torch.float32)).flatten(2)
        gram: Tensor = flat @ flat.transpose(1, 2) / (channels * height * width)
    return gram


def gram_distance(features: Tensor, references: Tensor) -> Tensor:
    """Squared Frobenius distance of the Gram matrices of N pairs, (N,).

    Both must be (N, C, H, W) with the same C; the sizes may differ.
    """
    difference = gram_matrices(features) - gram_matrices(references)
    return difference.square().sum((1, 2))
