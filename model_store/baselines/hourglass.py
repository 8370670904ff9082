"""The hourglass: down by max pooling and up again, with a skip at every size.

Newell, Yang, Deng: "Stacked Hourglass Networks for Human Pose Estimation" (ECCV 2016), figure 3.
FSRNet and DIC estimate landmarks by it, each with residual blocks of its own.
"""

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn


class Hourglass(nn.Module):
    """(N, C, h, w) -> the same; h and w are multiples of 2 ** depth.

    Args:
        depth: how often the size is halved.
        new_block: makes a block that keeps shape; 3 depth + 1 are made.
        upsampling: "nearest", or "bilinear" with corners aligned.
    """

    def __init__(
        self,
        depth: int,
        new_block: Callable[[], nn.Module],
        *,
        upsampling: Literal["nearest", "bilinear"],
    ) -> None:
        super().__init__()
        self.skip = new_block()
        self.before = new_block()
        self.inner = (
            Hourglass(depth - 1, new_block, upsampling=upsampling) if depth > 1 else new_block()
        )
        self.after = new_block()
        self.upsampling = upsampling

    def forward(self, features: Tensor) -> Tensor:
        lower = self.after(self.inner(self.before(F.max_pool2d(features, 2))))
        align_corners = True if self.upsampling == "bilinear" else None  # none for nearest
        upsampled = F.interpolate(
            lower, scale_factor=2, mode=self.upsampling, align_corners=align_corners
        )
        merged: Tensor = self.skip(features) + upsampled
        return merged
