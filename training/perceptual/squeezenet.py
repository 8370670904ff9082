"""SqueezeNet 1.1 (Iandola et al. 2016) up to its last fire module, as LPIPS taps it."""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.perceptual.weight_files import WeightFile

# Behind conv1 and the fire modules that LPIPS compares (Zhang et al. 2018), by their place.
_TAPS: Final = (1, 4, 7, 9, 10, 11, 12)

SQUEEZENET_FILE: Final = WeightFile(
    names=("squeezenet1_1_features.pth", "squeezenet1_1-b8a52dc0.pth"),
    content="torchvision's SqueezeNet 1.1 for ImageNet (tensors features.0.weight and on)",
    source="https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
    digest="9a3cd24c3da63ec76ec50dabac44e862029b5c84992e5ddd582be22d0f9ef388",
)


class SqueezeNetFeatures(nn.Module):
    """Activations at seven depths, for LPIPS.

    Attributes:
        widths: Channels of each activation.
    """

    widths = (64, 128, 256, 384, 384, 512, 512)

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=3, stride=2),
            nn.ReLU(),
            _pool(),
            _Fire(64, 16, 64),
            _Fire(128, 16, 64),
            _pool(),
            _Fire(128, 32, 128),
            _Fire(256, 32, 128),
            _pool(),
            _Fire(256, 48, 192),
            _Fire(384, 48, 192),
            _Fire(384, 64, 256),
            _Fire(512, 64, 256),
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return seven activations of (N, 3, H, W) normalised images, H and W at least 17 px."""
        taps = []
        for place, layer in enumerate(self.features):
            images = layer(images)
            if place in _TAPS:
                taps.append(images)
        return taps


class _Fire(nn.Module):
    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, kernel_size=1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, kernel_size=1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, kernel_size=3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        squeezed = F.relu(self.squeeze(features))
        return F.relu(torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1))


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
