"""Distance of expressions, by the features of a network that was trained to tell them apart.

Not in the paper.
"""

from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor


@runtime_checkable
class ExpressionNetwork(Protocol):
    """A frozen network that reads expressions."""

    def features(self, images: Tensor) -> Tensor:
        """Return (N, F) features, before the classes, of (N, 3, H, W) RGB faces in [0, 1]."""


def expression_distance(network: ExpressionNetwork, sr: Tensor, hr: Tensor) -> Tensor:
    """Squared distance of the features of N pairs, each scaled to unit length: (N,) in [0, 4].

    In float32 or better, outside autocast. Only ``sr`` gets a gradient.
    """
    with torch.autocast(sr.device.type, enabled=False):
        with torch.no_grad():
            wanted = F.normalize(network.features(hr), dim=1)
        found = F.normalize(network.features(sr), dim=1)
        distance: Tensor = (found - wanted).square().sum(1)
    return distance
