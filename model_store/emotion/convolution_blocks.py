"""The two blocks that MobileFaceNet and MixedFeatureNet are built of.

Chen, Liu, Gao, Han: "MobileFaceNets" (arXiv:1804.07573), section 3.2 and table 1.
"""

from torch import Tensor, nn

from model_store.emotion.channel_prelu import ChannelPReLU


class ConvolutionBlock(nn.Module):
    """A convolution without bias, batch norm, and a PReLU for each channel unless it is linear."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        is_linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs)
        self.activation = nn.Identity() if is_linear else ChannelPReLU(outputs)

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.activation(self.norm(self.conv(features)))
        return result


class Bottleneck(nn.Module):
    """1x1 expansion, a filter for each channel by itself, linear 1x1 projection.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        expanded: Channels that ``spatial`` works on.
        spatial: From (N, expanded, h, w) to (N, expanded, h / stride, w / stride).
        is_residual: Whether the input is added; its shape must then be the output's.
    """

    def __init__(
        self, inputs: int, outputs: int, *, expanded: int, spatial: nn.Module, is_residual: bool
    ) -> None:
        super().__init__()
        self.expand = ConvolutionBlock(inputs, expanded)
        self.spatial = spatial
        self.project = ConvolutionBlock(expanded, outputs, is_linear=True)
        self.is_residual = is_residual

    def forward(self, features: Tensor) -> Tensor:
        filtered: Tensor = self.project(self.spatial(self.expand(features)))
        return features + filtered if self.is_residual else filtered
