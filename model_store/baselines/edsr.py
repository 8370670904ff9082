"""EDSR: residual blocks without batch norm at LR size, then sub-pixel upsampling.

Lim, Son, Kim, Nah, Lee: "Enhanced Deep Residual Networks for Single Image Super-Resolution"
(CVPRW 2017, arXiv:1707.02921); sections 3.1 and 3.2, figures 2c and 3, table 1.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_store.baselines.config import BaselineConfig

# "We subtract the mean RGB value of the DIV2K dataset" (section 4.2), here in [0, 1].
_DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


@dataclass(frozen=True, kw_only=True)
class EDSRConfig(BaselineConfig):
    """Sizes of an EDSR. The defaults are table 1's EDSR; its baseline is 16, 64 and 1.0.

    Attributes:
        num_blocks: B, residual blocks.
        num_features: F, channels of all of them.
        residual_scale: what a block's change is multiplied by before it is added (section 3.1).
    """

    architecture: ClassVar[str] = "edsr"

    num_blocks: int = 32
    num_features: int = 256
    residual_scale: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least_one("num_blocks", "num_features")
        if self.residual_scale <= 0:
            raise ValueError(f"residual_scale is {self.residual_scale}; it must be above 0")


class EDSR(nn.Module):
    """The single-scale network of figure 3.

    At x4 it has table 1's 43 M parameters (the baseline 1.5 M). The paper stops at x4: x8 is one
    more stage of x2 upsampling, as figure 3 joins two of them for x4.
    """

    rgb_mean: Tensor

    def __init__(self, config: EDSRConfig) -> None:
        super().__init__()
        self.config = config
        width = config.num_features
        self.head = _conv3x3(3, width)
        self.body = nn.Sequential(
            *(ResidualBlock(width, scale=config.residual_scale) for _ in range(config.num_blocks))
        )
        self.conv_body = _conv3x3(width, width)
        num_stages = config.scale.bit_length() - 1
        self.upsampling = nn.Sequential(*(SubPixelUpsampling(width) for _ in range(num_stages)))
        self.tail = _conv3x3(width, 3)
        mean = torch.tensor(_DIV2K_MEAN)[:, None, None]
        self.register_buffer("rgb_mean", mean, persistent=False)

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale (N, 3, h, w) RGB in [0, 1] to (N, 3, scale h, scale w), not clamped."""
        shallow = self.head(lr - self.rgb_mean)
        features = shallow + self.conv_body(self.body(shallow))
        sr: Tensor = self.tail(self.upsampling(features)) + self.rgb_mean
        return sr


class ResidualBlock(nn.Module):
    """conv, ReLU, conv, scaled and added (figure 2c): (N, C, h, w) -> the same."""

    def __init__(self, num_features: int, *, scale: float) -> None:
        super().__init__()
        self.conv1 = _conv3x3(num_features, num_features)
        self.conv2 = _conv3x3(num_features, num_features)
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        change: Tensor = self.conv2(F.relu(self.conv1(features)))
        return features + self.scale * change


class SubPixelUpsampling(nn.Module):
    """conv to four times the channels, which become 2 x 2 pixels: (N, C, h, w) -> (N, C, 2h, 2w).

    Shi et al., "Real-Time Single Image and Video Super-Resolution" (CVPR 2016).
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.conv = _conv3x3(num_features, 4 * num_features)

    def forward(self, features: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(features), 2)


def _conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
