"""DIC: a recurrent upscaler and a recurrent landmark estimator that inform each other in turn.

Ma, Jiang, Rao, Lu, Zhou: "Deep Face Super-Resolution with Iterative Collaboration between Attentive
Recovery and Landmark Estimation" (CVPR 2020, arXiv:2003.13063); section 3, figure 2. Without
DICGAN's adversarial and perceptual losses.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_store.baselines.config import BaselineConfig
from model_store.baselines.feedback_block import FeedbackBlock, conv_prelu, deconv_prelu
from model_store.baselines.hourglass import Hourglass
from model_store.baselines.stages import NUM_HEATMAPS, Stages
from model_store.landmarks.ibug import JAW_AND_BROWS, LEFT_EYE, MOUTH, NOSE, RIGHT_EYE

# The parts of the face that are attended to one by one.
FACE_PARTS = (RIGHT_EYE, LEFT_EYE, NOSE, MOUTH, JAW_AND_BROWS)
_LEAST_PEAK = 0.05  # a heatmap's highest value counts as at least this, so that noise stays small
_CELEBA_MEAN = (0.509, 0.424, 0.378)  # RGB in [0, 1], subtracted by the authors' code
_FEATURE_SIDE_PX = 32  # of the recurrent features and of the heatmaps
_LEAKY_SLOPE = 0.2


@dataclass(frozen=True, kw_only=True)
class DICConfig(BaselineConfig):
    """Sizes of a DIC. The defaults are those of the authors' published configuration.

    Attributes:
        num_steps: how often the two branches take turns, at least 2.
        num_features: channels of the recovery branch.
        num_groups: pairs of projections in each feedback block.
        num_fusion_blocks: residual blocks of the attentive fusion.
        hourglass_features: channels of the landmark branch, a multiple of 4; its hourglass has
            twice as many.
    """

    architecture: ClassVar[str] = "dic"

    num_steps: int = 4
    num_features: int = 48
    num_groups: int = 6
    num_fusion_blocks: int = 7
    hourglass_features: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least_one("num_features", "num_groups", "num_fusion_blocks")
        if self.num_steps < 2:
            raise ValueError(f"num_steps is {self.num_steps}; it must be at least 2")
        if self.hourglass_features < 4 or self.hourglass_features % 4:
            raise ValueError(
                f"hourglass_features is {self.hourglass_features}; it must be a multiple of 4"
            )


class DIC(nn.Module):
    """The two branches of figure 2, unrolled.

    21.8 M parameters at x8, as the authors' code has with its published options; SPARNet's authors
    list 22.8 M. The paper has x8 alone. At x4, features stay at the LR image's 32 px: a 1x1 conv
    replaces the sub-pixel step of the stem, and the projections are x4, both as in SRFBN.
    """

    rgb_mean: Tensor

    def __init__(self, config: DICConfig) -> None:
        super().__init__()
        self.config = config
        width = config.num_features
        enlarge = _FEATURE_SIDE_PX // config.lr_size_px  # 1 or 2
        self.stem = nn.Sequential(
            conv_prelu(3, 4 * width, kernel_size=3),
            nn.PixelShuffle(2) if enlarge == 2 else conv_prelu(4 * width, width, kernel_size=1),
        )
        self.first_block = FeedbackBlock(
            width, width, num_groups=config.num_groups, factor=config.scale
        )
        self.block = FeedbackBlock(
            2 * width, width, num_groups=config.num_groups, factor=config.scale
        )
        self.fusion = AttentiveFusion(width, num_blocks=config.num_fusion_blocks)
        self.reconstruct = nn.Sequential(
            deconv_prelu(width, factor=config.scale // enlarge),
            nn.Conv2d(width, 3, kernel_size=3, padding=1),
        )
        self.landmarks = RecurrentHourglass(config.hourglass_features)
        mean = torch.tensor(_CELEBA_MEAN)[:, None, None]
        self.register_buffer("rgb_mean", mean, persistent=False)

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale (N, 3, h, h) RGB in [0, 1], h = config.lr_size_px, to (N, 3, 128, 128).

        The result is not clamped.
        """
        return self._take_turns(lr, wants_last_heatmaps=False).images[-1]

    def forward_stages(self, lr: Tensor) -> Stages:
        """Upscale as :meth:`forward`; give every step's image and heatmaps, all supervised.

        Heatmaps are (N, 68, 32, 32).
        """
        return self._take_turns(lr, wants_last_heatmaps=True)

    def _take_turns(self, lr: Tensor, *, wants_last_heatmaps: bool) -> Stages:
        """Alternate between the branches; the result's last heatmaps inform no image any more."""
        lr = lr - self.rgb_mean
        enlarged = F.interpolate(
            lr, scale_factor=self.config.scale, mode="bilinear", align_corners=False
        )
        shallow = self.stem(lr)  # (N, num_features, 32, 32)
        images: list[Tensor] = []
        heatmaps: list[Tensor] = []
        hidden = self.first_block(shallow)
        memory: Tensor | None = None
        for step in range(1, self.config.num_steps + 1):
            if step > 1:
                attention = attend_to_parts(heatmaps[-1])
                fused = self.fusion(self.block.compress(torch.cat((shallow, hidden), 1)), attention)
                hidden = self.block.project(fused)
            image = enlarged + self.reconstruct(hidden)
            images.append(image + self.rgb_mean)
            if step < self.config.num_steps or wants_last_heatmaps:
                found, memory = self.landmarks(image, memory)
                heatmaps.append(found)
        return Stages(tuple(images), tuple(heatmaps))


def attend_to_parts(heatmaps: Tensor) -> Tensor:
    """Turn landmark heatmaps into how much each place belongs to each part of the face.

    Each heatmap by its peak, summed by part, softmax over the parts.

    Args:
        heatmaps: (N, 68, h, w) in the order of IBUG_68.

    Returns:
        (N, 5, h, w), one channel for each of FACE_PARTS, their sum 1 at every place.
    """
    peaks = heatmaps.amax((2, 3), keepdim=True).clamp(min=_LEAST_PEAK)
    normalised = heatmaps / peaks
    parts = [normalised[:, part.start : part.stop].sum(1) for part in FACE_PARTS]
    return torch.softmax(torch.stack(parts, dim=1), dim=1)


class AttentiveFusion(nn.Module):
    """The attentive fusion module: features of each part by itself, summed by attention."""

    def __init__(self, num_features: int, *, num_blocks: int) -> None:
        super().__init__()
        wide = num_features * len(FACE_PARTS)
        self.widen = nn.Conv2d(num_features, wide, kernel_size=1)
        self.blocks = nn.Sequential(*(_PartwiseBlock(wide) for _ in range(num_blocks)))

    def forward(self, features: Tensor, attention: Tensor) -> Tensor:
        """Fuse (N, C, h, w) features by (N, 5, h, w) attention into (N, C, h, w)."""
        wide = self.blocks(F.leaky_relu(self.widen(features), _LEAKY_SLOPE))
        by_part = wide.unflatten(1, (len(FACE_PARTS), -1))  # (N, 5, C, h, w)
        fused: Tensor = (by_part * attention[:, :, None]).sum(1)
        return fused


class _PartwiseBlock(nn.Module):
    """conv, LeakyReLU, conv around a skip; the parts do not see each other."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        parts = len(FACE_PARTS)
        self.conv1 = nn.Conv2d(num_features, num_features, 3, padding=1, groups=parts)
        self.conv2 = nn.Conv2d(num_features, num_features, 3, padding=1, groups=parts)

    def forward(self, features: Tensor) -> Tensor:
        change: Tensor = self.conv2(F.leaky_relu(self.conv1(features), _LEAKY_SLOPE))
        return features + change


class RecurrentHourglass(nn.Module):
    """The landmark branch: an hourglass whose second half of channels is its memory.

    Without norms, as in the authors' code.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        width = num_features
        self.stem = nn.Sequential(
            nn.Conv2d(3, width // 4, kernel_size=7, stride=2, padding=3),
            nn.ReLU(inplace=True),
            BottleneckBlock(width // 4, width // 2),
            nn.MaxPool2d(2),
            BottleneckBlock(width // 2, width // 2),
            BottleneckBlock(width // 2, width),
        )
        self.join = nn.Conv2d(2 * width, 2 * width, kernel_size=1)
        self.hourglass = Hourglass(
            4, lambda: BottleneckBlock(2 * width, 2 * width), upsampling="bilinear"
        )
        self.head = nn.Sequential(
            BottleneckBlock(width, width),
            nn.Conv2d(width, width, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, NUM_HEATMAPS, kernel_size=1),
        )

    def forward(self, image: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """Find the landmarks of (N, 3, 128, 128) images, minus the mean colour.

        Args:
            image: one step's.
            memory: (N, F, 32, 32) of the step before; None at the first.

        Returns:
            (N, 68, 32, 32) heatmaps, and (N, F, 32, 32) memory for the next step.
        """
        features = self.stem(image)
        joined = self.join(torch.cat((features, features if memory is None else memory), dim=1))
        found, remembered = self.hourglass(joined).chunk(2, dim=1)
        heatmaps: Tensor = self.head(found)
        return heatmaps, remembered


class BottleneckBlock(nn.Module):
    """1x1, ReLU, 3x3, 1x1 convs around a skip; half as wide inside."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        inner = out_channels // 2
        self.convs = nn.Sequential(
            nn.Conv2d(in_channels, inner, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, inner, kernel_size=3, padding=1),
            nn.Conv2d(inner, out_channels, kernel_size=1),
        )
        self.fit: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.fit = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        merged: Tensor = self.fit(features) + self.convs(features)
        return merged
