"""SPARNet: residual blocks, each with an hourglass that says where in the face its change counts.

Chen, Gong, Wang, Li, Wong: "Learning Spatial Attention for Face Super-Resolution" (IEEE TIP 2020,
arXiv:2012.01211); section III. Without SPARNetHD's discriminators.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from model_store.affectsrnet.config import HR_SIZE_PX
from model_store.baselines.config import BaselineConfig
from model_store.image_tensor import enlarge_bicubic

Resampling = Literal["down", "keep", "up"]

_LEAKY_SLOPE = 0.2
_NUM_HALVINGS = 3  # 128 px -> 16 px, where the body works
_ATTENTION_BOTTLENECK_PX = 4  # every attention branch goes down to this


@dataclass(frozen=True, kw_only=True)
class SPARNetConfig(BaselineConfig):
    """Sizes of a SPARNet. The defaults are those of the authors' published model.

    Attributes:
        min_features: channels at 128 px, and the least anywhere.
        max_features: the most channels; they double as the size halves.
        attention_features: channels of the attention branches.
        num_body_units: face attention units at 16 px; three lead down to there and three up.
    """

    architecture: ClassVar[str] = "sparnet"

    min_features: int = 32
    max_features: int = 128
    attention_features: int = 64
    num_body_units: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least_one("min_features", "attention_features", "num_body_units")
        if self.max_features < self.min_features:
            raise ValueError(
                f"max_features is {self.max_features}; it must be at least min_features, "
                f"{self.min_features}"
            )


class SPARNet(nn.Module):
    """Down, along and up through face attention units, on the bicubic-enlarged face.

    10.52 M parameters, as the authors list of the model that they released; with one unit less in
    the body it has 9.89 M, and their paper says 9.86 M.
    """

    def __init__(self, config: SPARNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = [
            min(config.min_features * 2**halvings, config.max_features)
            for halvings in range(_NUM_HALVINGS + 1)
        ]
        sides = [HR_SIZE_PX >> halvings for halvings in range(_NUM_HALVINGS + 1)]
        attention = config.attention_features

        def unit(level_in: int, level_out: int, resampling: Resampling) -> FaceAttentionUnit:
            return FaceAttentionUnit(
                widths[level_in],
                widths[level_out],
                resampling=resampling,
                attention_features=attention,
                attention_depth=(sides[level_out] // _ATTENTION_BOTTLENECK_PX).bit_length() - 1,
            )

        levels = range(_NUM_HALVINGS)
        body = _NUM_HALVINGS
        self.first = _Conv(3, widths[0])
        self.encoder = nn.Sequential(*(unit(level, level + 1, "down") for level in levels))
        self.body = nn.Sequential(*(unit(body, body, "keep") for _ in range(config.num_body_units)))
        self.decoder = nn.Sequential(*(unit(level + 1, level, "up") for level in reversed(levels)))
        self.last = _Conv(widths[0], 3)

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale (N, 3, h, h) RGB in [0, 1], h = config.lr_size_px, to (N, 3, 128, 128).

        The result is not clamped.
        """
        enlarged = 2 * enlarge_bicubic(lr, scale=self.config.scale) - 1
        features = self.decoder(self.body(self.encoder(self.first(enlarged))))
        sr: Tensor = (self.last(features) + 1) / 2
        return sr


class FaceAttentionUnit(nn.Module):
    """x + attention(f) * f, with f a pre-activated residual change of x.

    (N, in, h, w) -> (N, out, h', w'), h' half of h, h or twice h; where shape changes, a conv makes
    x fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        resampling: Resampling,
        attention_features: int,
        attention_depth: int,
    ) -> None:
        super().__init__()
        self.fit: nn.Module = nn.Identity()
        if resampling != "keep" or in_channels != out_channels:
            self.fit = _Conv(in_channels, out_channels, resampling=resampling)
        is_down = resampling == "down"
        self.norm = nn.BatchNorm2d(in_channels)
        self.conv1 = _Conv(
            in_channels, out_channels, resampling="keep" if is_down else resampling, bias=False
        )
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = _Conv(
            out_channels, out_channels, resampling="down" if is_down else "keep", bias=False
        )
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.attention = nn.Sequential(
            AttentionHourglass(out_channels, attention_features, depth=attention_depth),
            _Conv(attention_features, 1),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        activated = F.leaky_relu(self.norm(features), _LEAKY_SLOPE)
        change = F.leaky_relu(self.norm1(self.conv1(activated)), _LEAKY_SLOPE)
        change = self.norm2(self.conv2(change))
        weight = self.attention(change)  # (N, 1, h', w') in (0, 1)
        merged: Tensor = self.fit(features) + weight * change
        return merged


class AttentionHourglass(nn.Module):
    """The attention branch: down by strided convs, up by nearest and convs, a conv at each skip.

    (N, in_channels, h, w) -> (N, num_features, h, w); h and w are multiples of 2 ** depth.
    """

    def __init__(self, in_channels: int, num_features: int, *, depth: int) -> None:
        super().__init__()
        self.skip = _conv_norm_relu(in_channels, num_features)
        self.down = _conv_norm_relu(in_channels, num_features, resampling="down")
        self.inner: nn.Module = (
            AttentionHourglass(num_features, num_features, depth=depth - 1)
            if depth > 1
            else _conv_norm_relu(num_features, num_features)
        )
        self.up = _conv_norm_relu(num_features, num_features, resampling="up")

    def forward(self, features: Tensor) -> Tensor:
        lower: Tensor = self.up(self.inner(self.down(features)))
        merged: Tensor = self.skip(features) + lower
        return merged


class _Conv(nn.Module):
    """A 3x3 conv over reflected borders, with stride 2 or after a nearest x2 where it resamples."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        resampling: Resampling = "keep",
        bias: bool = True,
    ) -> None:
        super().__init__()
        stride = 2 if resampling == "down" else 1
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size=3,
            stride=stride,
            padding=1,
            padding_mode="reflect",
            bias=bias,
        )
        self.doubles = resampling == "up"

    def forward(self, features: Tensor) -> Tensor:
        if self.doubles:
            features = F.interpolate(features, scale_factor=2, mode="nearest")
        convolved: Tensor = self.conv(features)
        return convolved


def _conv_norm_relu(
    in_channels: int, out_channels: int, *, resampling: Resampling = "keep"
) -> nn.Sequential:
    return nn.Sequential(
        _Conv(in_channels, out_channels, resampling=resampling, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.LeakyReLU(_LEAKY_SLOPE, inplace=True),
    )
