"""A tiny AffectSRNet, and what keeps its random parts equal from run to run."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model_store.affectsrnet import AffectSRNet, AffectSRNetConfig
from model_store.landmarks.topology import LANDMARK_COUNT

BuildNetwork = Callable[..., AffectSRNet]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(20)


@pytest.fixture
def build_network() -> BuildNetwork:
    """Build a network of 1 block and 8 features in eval mode; keywords go to its config."""

    def build(scale: int = 4, **options: object) -> AffectSRNet:
        tiny = {
            "num_features": 8,
            "growth_channels": 4,
            "num_blocks": 1,
            "gcn_features": 12,
            "graph_map_channels": 8,
            "msaf_reduction": 2,
        }
        return AffectSRNet(AffectSRNetConfig(scale=scale, **{**tiny, **options})).eval()

    return build


@pytest.fixture
def landmarks() -> Tensor:
    """(4, 478, 3): four arbitrary faces."""
    return torch.rand(4, LANDMARK_COUNT, 3)
