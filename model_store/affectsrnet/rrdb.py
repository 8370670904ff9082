"""The trunk's blocks: residual dense blocks in a residual block (III-B; ESRGAN, Wang et al. 2018).

Here with InstanceNorm after every conv (IV-D), which ESRGAN does not have.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_SLOPE = 0.2  # ESRGAN's, in every LeakyReLU of the network
RESIDUAL_SCALE = 0.2  # ESRGAN's beta, in the dense block and around the three of them
NUM_DENSE_CONVS = 5
# InstanceNorm undoes any small initialisation of the conv before it, so a block starts close to
# the identity by its last norm's gain instead (0.1 to 0.2 trained alike).
LAST_NORM_GAIN = 0.15
# Without norm ESRGAN shrinks the convs of its dense blocks at the start to the same end.
UNNORMALISED_INIT_SCALE = 0.1


class InstanceNorm(nn.Module):
    """Affine instance norm over (N, C, h, w): each image's channels by their own statistics.

    Computed as a group norm with one channel a group: the same numbers, but it keeps channels_last
    and is much faster than torch's instance norm.
    """

    def __init__(self, num_channels: int, *, gain: float = 1.0) -> None:
        super().__init__()
        self.num_channels = num_channels
        self.weight = nn.Parameter(torch.full((num_channels,), gain))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, features: Tensor) -> Tensor:
        return F.group_norm(features, self.num_channels, self.weight, self.bias, eps=1e-5)


class ResidualDenseBlock(nn.Module):
    """Five 3x3 convs, each of which sees the block's input and all outputs before its own.

    (N, num_features, h, w) -> the same shape. With `instance_norm` the convs have no bias, since
    the norm would cancel it.
    """

    def __init__(self, num_features: int, growth_channels: int, *, instance_norm: bool) -> None:
        super().__init__()
        for k in range(1, NUM_DENSE_CONVS + 1):
            is_last = k == NUM_DENSE_CONVS
            out_channels = num_features if is_last else growth_channels
            conv = nn.Conv2d(
                num_features + (k - 1) * growth_channels,
                out_channels,
                kernel_size=3,
                padding=1,
                bias=not instance_norm,
            )
            norm: nn.Module = nn.Identity()
            if instance_norm:
                norm = InstanceNorm(out_channels, gain=LAST_NORM_GAIN if is_last else 1.0)
            else:
                _shrink(conv)
            self.add_module(f"conv{k}", conv)
            self.add_module(f"norm{k}", norm)

    def forward(self, features: Tensor) -> Tensor:
        dense = features
        for k in range(1, NUM_DENSE_CONVS):
            new = self.get_submodule(f"norm{k}")(self.get_submodule(f"conv{k}")(dense))
            new = F.leaky_relu(new, LEAKY_SLOPE, inplace=True)
            dense = torch.cat((dense, new), dim=1)  # one growth_channels wider each time
        last: Tensor = self.get_submodule(f"norm{NUM_DENSE_CONVS}")(
            self.get_submodule(f"conv{NUM_DENSE_CONVS}")(dense)
        )
        return features + RESIDUAL_SCALE * last


class RRDB(nn.Module):
    """Three residual dense blocks inside one residual connection: (N, C, h, w) -> the same."""

    def __init__(self, num_features: int, growth_channels: int, *, instance_norm: bool) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(num_features, growth_channels, instance_norm=instance_norm)
        self.rdb2 = ResidualDenseBlock(num_features, growth_channels, instance_norm=instance_norm)
        self.rdb3 = ResidualDenseBlock(num_features, growth_channels, instance_norm=instance_norm)

    def forward(self, features: Tensor) -> Tensor:
        dense: Tensor = self.rdb3(self.rdb2(self.rdb1(features)))
        return features + RESIDUAL_SCALE * dense


def _shrink(conv: nn.Conv2d) -> None:
    nn.init.kaiming_normal_(conv.weight)
    with torch.no_grad():
        conv.weight.mul_(UNNORMALISED_INIT_SCALE)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
