"""The feedback block: up- and down-projections, each seeing all before it.

Li, Yang, Liu, Yang, Jeon, Wu: "Feedback Network for Image Super-Resolution" (SRFBN, CVPR 2019,
arXiv:1903.09814), section 3.3 and figure 3. DIC's recovery branch is made of it.
"""

import torch
from torch import Tensor, nn

_PRELU_START = 0.2


class FeedbackBlock(nn.Module):
    """(N, in_channels, h, w) -> (N, num_features, h, w) by way of maps `factor` times as large.

    Args:
        in_channels: those of the features and of what the step before remembers, one behind the
            other.
        num_features: m, channels of every map inside.
        num_groups: G, pairs of projections.
        factor: 4 or 8.
    """

    def __init__(
        self, in_channels: int, num_features: int, *, num_groups: int, factor: int
    ) -> None:
        super().__init__()
        width = num_features
        self.compress = conv_prelu(in_channels, width, kernel_size=1)
        self.ups = nn.ModuleList(deconv_prelu(width, factor=factor) for _ in range(num_groups))
        self.downs = nn.ModuleList(_conv_down(width, factor=factor) for _ in range(num_groups))
        # The first projections see one map, which needs no joining.
        self.join_lr = nn.ModuleList(
            conv_prelu(count * width, width, kernel_size=1) for count in range(2, num_groups + 1)
        )
        self.join_hr = nn.ModuleList(
            conv_prelu(count * width, width, kernel_size=1) for count in range(2, num_groups + 1)
        )
        self.out = conv_prelu(num_groups * width, width, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """Compress, then project."""
        return self.project(self.compress(features))

    def project(self, features: Tensor) -> Tensor:
        """Run the projections on (N, num_features, h, w) features."""
        lr_maps, hr_maps = [features], []
        for group, (up, down) in enumerate(zip(self.ups, self.downs, strict=True)):
            hr_maps.append(up(_joined(lr_maps, self.join_lr, group)))
            lr_maps.append(down(_joined(hr_maps, self.join_hr, group)))
        projected: Tensor = self.out(torch.cat(lr_maps[1:], dim=1))
        return projected


def conv_prelu(in_channels: int, out_channels: int, *, kernel_size: int) -> nn.Sequential:
    """Build a convolution that keeps the size, and its PReLU."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
    return nn.Sequential(conv, nn.PReLU(init=_PRELU_START))


def deconv_prelu(num_features: int, *, factor: int) -> nn.Sequential:
    """Build a transposed convolution that enlarges by `factor`, and its PReLU."""
    conv = nn.ConvTranspose2d(num_features, num_features, factor + 4, stride=factor, padding=2)
    return nn.Sequential(conv, nn.PReLU(init=_PRELU_START))


def _conv_down(num_features: int, *, factor: int) -> nn.Sequential:
    conv = nn.Conv2d(num_features, num_features, factor + 4, stride=factor, padding=2)
    return nn.Sequential(conv, nn.PReLU(init=_PRELU_START))


def _joined(maps: list[Tensor], joins: nn.ModuleList, group: int) -> Tensor:
    if group == 0:
        return maps[0]
    joined: Tensor = joins[group - 1](torch.cat(maps, dim=1))
    return joined
