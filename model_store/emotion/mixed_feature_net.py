"""MixedFeatureNet: MobileFaceNet with depthwise kernels of several sizes and coordinate attention.

Zhang, Zhang, Zhang, Wang, Song: "A Dual-Direction Attention Mixed Feature Network for Facial
Expression Recognition" (Electronics 2023, 12(17), 3595), section 3.1; the sizes are those of the
authors' public code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from model_store.emotion.channel_prelu import ChannelPReLU
from model_store.emotion.convolution_blocks import Bottleneck, ConvolutionBlock
from model_store.emotion.coordinate_attention import CoordinateAttention

# Of each stage: kernel sizes, each with its share of the channels, of the block that halves the
# image and of those that keep its size.
_KernelShares = tuple[tuple[int, int], ...]
_STAGE_KERNELS: tuple[tuple[_KernelShares, _KernelShares], ...] = (
    (((3, 2), (5, 1), (7, 1)), ((3, 3), (5, 1))),
    (((3, 2), (5, 1), (7, 1)), ((3, 3), (5, 1))),
    (((3, 1), (5, 1), (7, 1), (9, 1)), ((3, 1), (5, 1), (7, 1))),
)


@dataclass(frozen=True, kw_only=True)
class DDAMFNConfig:
    """Sizes of a DDAMFN; the defaults are the public ones.

    Attributes:
        stem_width: Channels at half the image's size.
        widths: Channels of the three stages, at 28, 14 and 7 px.
        expansions: How many times wider than its input the halving block of each stage works; the
            others expand their channels twofold.
        blocks: Residual blocks of each stage.
        num_features: Channels of the last map, and features that the classes are told from.
        num_heads: Direction-aware attention heads; the paper found two best.
        depthwise_norm: Whether batch norm and PReLU follow the mixed depthwise convolutions, as
            they follow MobileFaceNet's. The public code declares and stores them there but does
            not call them: its weights need False, a MobileFaceNet's need True.
    """

    architecture: ClassVar[str] = "ddamfn"

    stem_width: int = 64
    widths: tuple[int, ...] = (64, 128, 256)
    expansions: tuple[int, ...] = (2, 4, 8)
    blocks: tuple[int, ...] = (9, 16, 6)
    num_features: int = 512
    num_heads: int = 2
    depthwise_norm: bool = True

    def __post_init__(self) -> None:
        for name in ("widths", "expansions", "blocks"):
            if len(getattr(self, name)) != len(_STAGE_KERNELS):
                raise ValueError(f"{name} is {getattr(self, name)}; it must name three stages")
        if self.num_heads < 1:
            raise ValueError(f"num_heads is {self.num_heads}; it must be at least 1")


class MixedDepthwise(nn.Module):
    """A depthwise convolution whose channels have kernels of several sizes, each centred.

    Tan, Le: "MixConv: Mixed Depthwise Convolutional Kernels" (arXiv:1907.09595), section 3.1.

    Attributes:
        sizes: Channels of each part, in their order.
    """

    def __init__(self, channels: int, *, kernels: _KernelShares, stride: int) -> None:
        super().__init__()
        self.sizes = split_channels(channels, [share for _, share in kernels])
        self.parts = nn.ModuleList(
            nn.Conv2d(
                size, size, kernel, stride=stride, padding=kernel // 2, groups=size, bias=False
            )
            for size, (kernel, _) in zip(self.sizes, kernels, strict=True)
        )

    def forward(self, features: Tensor) -> Tensor:
        split = features.split(self.sizes, dim=1)
        return torch.cat([part(x) for part, x in zip(self.parts, split, strict=True)], dim=1)


class MixedSpatial(nn.Module):
    """What lies between a block's expansion and its projection: mixed kernels, then attention."""

    def __init__(
        self, channels: int, *, kernels: _KernelShares, stride: int, has_norm: bool
    ) -> None:
        super().__init__()
        self.depthwise = MixedDepthwise(channels, kernels=kernels, stride=stride)
        self.norm = nn.BatchNorm2d(channels) if has_norm else nn.Identity()
        self.activation = ChannelPReLU(channels) if has_norm else nn.Identity()
        self.attention = CoordinateAttention(channels)

    def forward(self, features: Tensor) -> Tensor:
        filtered: Tensor = self.activation(self.norm(self.depthwise(features)))
        attended: Tensor = self.attention(filtered)
        return attended


class MixedFeatureNet(nn.Module):
    """The convolutions of DDAMFN: a face to a map of a sixteenth of its size."""

    def __init__(self, config: DDAMFNConfig) -> None:
        super().__init__()
        channels = config.stem_width
        self.stem = ConvolutionBlock(3, channels, kernel=3, stride=2, padding=1)
        self.stem_depthwise = ConvolutionBlock(
            channels, channels, kernel=3, padding=1, groups=channels
        )
        self.stages = nn.ModuleList()
        for stage, (of_halving, of_residual) in enumerate(_STAGE_KERNELS):
            width, expanded = config.widths[stage], config.expansions[stage] * channels
            has_norm = config.depthwise_norm
            halving = Bottleneck(
                channels,
                width,
                expanded=expanded,
                spatial=MixedSpatial(expanded, kernels=of_halving, stride=2, has_norm=has_norm),
                is_residual=False,
            )
            kept = [
                Bottleneck(
                    width,
                    width,
                    expanded=2 * width,
                    spatial=MixedSpatial(
                        2 * width, kernels=of_residual, stride=1, has_norm=has_norm
                    ),
                    is_residual=True,
                )
                for _ in range(config.blocks[stage])
            ]
            self.stages.append(nn.Sequential(halving, *kept))
            channels = width
        self.last = ConvolutionBlock(channels, config.num_features)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (N, 3, h, w) normalised pixels to (N, num_features, h / 16, w / 16)."""
        features: Tensor = self.stem_depthwise(self.stem(pixels))
        for stage in self.stages:
            features = stage(features)
        result: Tensor = self.last(features)
        return result


def split_channels(channels: int, shares: Sequence[int]) -> list[int]:
    """Split channels by shares; what does not divide goes to the first part (172, 170, 170)."""
    sizes = [channels * share // sum(shares) for share in shares]
    sizes[0] += channels - sum(sizes)
    return sizes
