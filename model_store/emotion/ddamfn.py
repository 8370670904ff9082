"""DDAMFN: MixedFeatureNet under two direction-aware attention heads; "++" is how it is trained.

Zhang, Zhang, Zhang, Wang, Song: "A Dual-Direction Attention Mixed Feature Network for Facial
Expression Recognition" (Electronics 2023, 12(17), 3595), sections 3.1 and 3.2, and the authors'
public code.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model_store.emotion.classifier import EmotionClassifier, require_crops
from model_store.emotion.convolution_blocks import ConvolutionBlock
from model_store.emotion.coordinate_attention import StripGates
from model_store.emotion.mixed_feature_net import DDAMFNConfig, MixedFeatureNet

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_GRID = 7  # 112 px after four halvings


@dataclass(frozen=True)
class AttendedLogits:
    """What training needs of N crops.

    Attributes:
        logits: (N, 7), not calibrated.
        attentions: (H, N, F, 7, 7), each head's map in (0, 1). The loss drives the heads apart.
    """

    logits: Tensor
    attentions: Tensor


class DirectionHead(nn.Module):
    """A map of attention from learnt descriptions of each row and of each column (section 3.2).

    Coordinate attention with a depthwise 1 x 7 and 7 x 1 convolution where that has the mean.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rows = _strip(channels, (1, _GRID))
        self.columns = _strip(channels, (_GRID, 1))
        self.gates = StripGates(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Attend to (N, C, 7, 7) features: (N, C, 7, 7) in (0, 1)."""
        attention: Tensor = self.gates(self.rows(features), self.columns(features))
        return attention


class DDAMFN(EmotionClassifier):
    """The expression classifier that the paper's metric names as its reference [96]."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: DDAMFNConfig) -> None:
        super().__init__(config.num_features)
        self.config = config
        self.backbone = MixedFeatureNet(config)
        self.heads = nn.ModuleList(
            DirectionHead(config.num_features) for _ in range(config.num_heads)
        )
        self.pool = _strip(config.num_features, (_GRID, _GRID))
        # Constants, so no part of the weights; buffers, so that they lie on the device.
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def features(self, crops: Tensor) -> Tensor:
        """Describe the expressions in (N, 3, 112, 112) RGB crops in [0, 1].

        Returns:
            (N, num_features), unbounded.

        Raises:
            ValueError: the crops are of another shape.
        """
        features, _ = self._attend(crops)
        return features

    def forward_with_heads(self, crops: Tensor) -> AttendedLogits:
        """Classify as ``forward`` does, and give the heads' attention as well."""
        features, attentions = self._attend(crops)
        return AttendedLogits(self.classes(features), attentions)

    def _attend(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        require_crops(crops)
        face: Tensor = self.backbone((crops - self.mean) / self.std)  # (N, F, 7, 7)
        attentions = torch.stack([head(face) for head in self.heads])
        pooled: Tensor = self.pool(face * attentions.amax(0))
        return pooled.flatten(1), attentions


def _strip(channels: int, kernel: tuple[int, int]) -> ConvolutionBlock:
    return ConvolutionBlock(channels, channels, kernel=kernel, groups=channels, is_linear=True)
