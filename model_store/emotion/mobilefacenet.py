"""MobileFaceNet as an expression classifier: a small network for faces' identity, fine-tuned.

Chen, Liu, Gao, Han: "MobileFaceNets" (arXiv:1804.07573), table 1, for faces of 112 x 96 px.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from model_store.emotion.classifier import CROP_PX, EmotionClassifier, require_crops
from model_store.emotion.convolution_blocks import Bottleneck, ConvolutionBlock

_WIDTH_PX = 96
_LEFT_PX = (CROP_PX - _WIDTH_PX) // 2
_LAST_GRID = (7, 6)  # 112 x 96 px after four halvings


@dataclass(frozen=True, kw_only=True)
class MobileFaceNetConfig:
    """Sizes of a MobileFaceNet; the defaults are the published ones.

    A stage halves the image and then keeps its size for some residual blocks, each of which
    expands its channels twofold.

    Attributes:
        stem_width: Channels at half the image's size.
        widths: Channels of the three stages.
        expansions: How many times wider than its input the halving block of each stage works.
        blocks: Residual blocks of each stage.
        num_features: Channels of the last map, and features that the classes are told from.
    """

    architecture: ClassVar[str] = "mobilefacenet"

    stem_width: int = 64
    widths: tuple[int, ...] = (64, 128, 128)
    expansions: tuple[int, ...] = (2, 4, 4)
    blocks: tuple[int, ...] = (4, 6, 2)
    num_features: int = 512

    def __post_init__(self) -> None:
        for name in ("widths", "expansions", "blocks"):
            if len(getattr(self, name)) != 3:
                raise ValueError(f"{name} is {getattr(self, name)}; it must name three stages")


class MobileFaceNet(nn.Module):
    """The convolutions of MobileFaceNet, up to the map that is one vector to a place."""

    def __init__(self, config: MobileFaceNetConfig) -> None:
        super().__init__()
        channels = config.stem_width
        self.stem = ConvolutionBlock(3, channels, kernel=3, stride=2, padding=1)
        self.stem_depthwise = _depthwise(channels, stride=1)
        self.stages = nn.ModuleList()
        for width, expansion, blocks in zip(
            config.widths, config.expansions, config.blocks, strict=True
        ):
            halving = _bottleneck(channels, width, expansion=expansion, stride=2)
            kept = [_bottleneck(width, width, expansion=2, stride=1) for _ in range(blocks)]
            self.stages.append(nn.Sequential(halving, *kept))
            channels = width
        self.last = ConvolutionBlock(channels, config.num_features)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (N, 3, h, w) pixels around 0 to (N, num_features, h / 16, w / 16)."""
        features: Tensor = self.stem_depthwise(self.stem(pixels))
        for stage in self.stages:
            features = stage(features)
        result: Tensor = self.last(features)
        return result


class MobileFaceNetClassifier(EmotionClassifier):
    """MobileFaceNet with classes in place of the identity embedding.

    It sees the middle 96 of the crop's 112 columns, as the faces were that its identity weights
    were trained on. Its 512 features are those of the global depthwise convolution: the linear
    bottleneck to 128 behind it keeps what tells persons apart.
    """

    def __init__(self, config: MobileFaceNetConfig) -> None:
        super().__init__(config.num_features)
        self.config = config
        self.backbone = MobileFaceNet(config)
        self.pool = ConvolutionBlock(
            config.num_features,
            config.num_features,
            kernel=_LAST_GRID,
            groups=config.num_features,
            is_linear=True,
        )

    def features(self, crops: Tensor) -> Tensor:
        """Describe the expressions in (N, 3, 112, 112) RGB crops in [0, 1].

        Returns:
            (N, num_features), unbounded.

        Raises:
            ValueError: the crops are of another shape.
        """
        require_crops(crops)
        face = crops[..., _LEFT_PX : _LEFT_PX + _WIDTH_PX]
        pooled: Tensor = self.pool(self.backbone(normalise_pixels(face)))
        return pooled.flatten(1)


def normalise_pixels(images: Tensor) -> Tensor:
    """From [0, 1] to what the identity network was trained on: (x - 127.5) / 128 of bytes."""
    return images * (255 / 128) - 127.5 / 128


def _bottleneck(inputs: int, outputs: int, *, expansion: int, stride: int) -> Bottleneck:
    expanded = expansion * inputs
    return Bottleneck(
        inputs,
        outputs,
        expanded=expanded,
        spatial=_depthwise(expanded, stride=stride),
        is_residual=stride == 1,
    )


def _depthwise(channels: int, *, stride: int) -> ConvolutionBlock:
    return ConvolutionBlock(channels, channels, kernel=3, stride=stride, padding=1, groups=channels)
