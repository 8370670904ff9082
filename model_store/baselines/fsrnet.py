"""FSRNet: a coarse image, from it image features and landmark heatmaps, from both the image.

Chen, Tai, Liu, Shen, Yang: "FSRNet: End-to-End Learning Face Super-Resolution with Facial Priors"
(CVPR 2018, arXiv:1711.10703); section 3, figure 2. Without FSRGAN's adversarial loss.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_store.baselines.config import BaselineConfig
from model_store.baselines.hourglass import Hourglass
from model_store.baselines.stages import NUM_HEATMAPS, Stages
from model_store.image_tensor import enlarge_bicubic


@dataclass(frozen=True, kw_only=True)
class FSRNetConfig(BaselineConfig):
    """Sizes of an FSRNet.

    Numbers of blocks and num_features are the paper's (section 3.2), as far as it states them. The
    prior network's widths and depth are those that reach the size which later papers list, see
    :class:`FSRNet`.

    Attributes:
        num_features: channels of the coarse network, the encoder and the decoder.
        num_coarse_blocks: residual blocks of the coarse network.
        num_encoder_blocks: residual blocks of the fine encoder.
        num_decoder_blocks: residual blocks of the fine decoder.
        prior_features: channels of the hourglasses; a multiple of 2.
        num_hourglasses: one behind the other.
        hourglass_depth: how often each halves the size, 64 px at its mouth.
    """

    architecture: ClassVar[str] = "fsrnet"

    num_features: int = 64
    num_coarse_blocks: int = 3
    num_encoder_blocks: int = 12
    num_decoder_blocks: int = 3
    prior_features: int = 256
    num_hourglasses: int = 2
    hourglass_depth: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least_one(
            "num_features",
            "num_coarse_blocks",
            "num_encoder_blocks",
            "num_decoder_blocks",
            "prior_features",
            "num_hourglasses",
            "hourglass_depth",
        )
        if self.prior_features % 2:
            raise ValueError(f"prior_features is {self.prior_features}; it must be a multiple of 2")
        if self.hourglass_depth > 6:
            raise ValueError(
                f"hourglass_depth is {self.hourglass_depth}; it must be at most 6, which takes "
                "64 px to one"
            )


class FSRNet(nn.Module):
    """The four networks of figure 2, on the bicubic-enlarged face.

    27.6 M parameters and 41 GMAC a face; its own paper gives no size, later ones list 27.5 M. Where
    we differ: the prior is landmark heatmaps alone, 68 of them (the paper has parsing maps too,
    which nobody drew for our faces), and the image runs in [-1, 1] through convolutions without a
    last squashing.
    """

    def __init__(self, config: FSRNetConfig) -> None:
        super().__init__()
        self.config = config
        width, prior_width = config.num_features, config.prior_features
        self.coarse = nn.Sequential(
            _conv_norm_relu(3, width),
            *_residual_blocks(width, config.num_coarse_blocks),
            nn.Conv2d(width, 3, kernel_size=3, padding=1),
        )
        self.encoder = nn.Sequential(
            _conv_norm_relu(3, width, stride=2),
            *_residual_blocks(width, config.num_encoder_blocks),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
        )
        self.prior = nn.Sequential(
            _conv_norm_relu(3, width, kernel_size=7, stride=2),
            ResidualBlock(width, prior_width // 2),
            ResidualBlock(prior_width // 2, prior_width),
            ResidualBlock(prior_width, prior_width),
            *(
                Hourglass(
                    config.hourglass_depth,
                    lambda: ResidualBlock(prior_width, prior_width),
                    upsampling="nearest",
                )
                for _ in range(config.num_hourglasses)
            ),
        )
        self.heatmaps = nn.Conv2d(prior_width, NUM_HEATMAPS, kernel_size=1)
        self.decoder = nn.Sequential(
            _conv_norm_relu(width + prior_width, width),
            nn.ConvTranspose2d(width, width, kernel_size=4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            *_residual_blocks(width, config.num_decoder_blocks),
            nn.Conv2d(width, 3, kernel_size=3, padding=1),
        )

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale (N, 3, h, w) RGB in [0, 1] to (N, 3, scale h, scale w), not clamped.

        h = w = config.lr_size_px, or what leaves whole pixels to the hourglasses.
        """
        return self.forward_stages(lr).images[-1]

    def forward_stages(self, lr: Tensor) -> Stages:
        """Upscale as :meth:`forward`; give the coarse image and the heatmaps too.

        Heatmaps are half as large as the image: 64 px.
        """
        coarse = self.coarse(2 * enlarge_bicubic(lr, scale=self.config.scale) - 1)
        encoded, prior = self.encoder(coarse), self.prior(coarse)
        fine = self.decoder(torch.cat((encoded, prior), dim=1))
        images = ((coarse + 1) / 2, (fine + 1) / 2)
        return Stages(images, (self.heatmaps(prior),))


class ResidualBlock(nn.Module):
    """Two 3x3 convs with batch norm around a skip (He et al. 2016): (N, in, h, w) -> (N, out, ...).

    Where the channels change, a 1x1 conv makes the skip fit.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.fit: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.fit = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        change = F.relu(self.norm1(self.conv1(features)))
        merged: Tensor = self.fit(features) + self.norm2(self.conv2(change))
        return merged


def _residual_blocks(width: int, count: int) -> list[ResidualBlock]:
    return [ResidualBlock(width, width) for _ in range(count)]


def _conv_norm_relu(
    in_channels: int, out_channels: int, *, kernel_size: int = 3, stride: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
