"""Tiny networks to measure."""

import pytest
import torch

from model_store.affectsrnet.config import AffectSRNetConfig
from model_store.affectsrnet.network import AffectSRNet
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig


@pytest.fixture
def landmarker() -> Landmarker:
    """Sure of itself; its landmarks depend on the image."""
    torch.manual_seed(0)
    network = Landmarker(
        LandmarkerConfig(num_coefficients=3, widths=(4, 4, 4, 4), blocks=(1, 1, 1, 1))
    )
    torch.nn.init.normal_(network.basis, std=0.02)
    torch.nn.init.normal_(network.coefficients.weight, std=1.0)
    torch.nn.init.zeros_(network.confidence.weight)
    torch.nn.init.constant_(network.confidence.bias, 9.0)
    return network.eval()


@pytest.fixture
def fused() -> AffectSRNet:
    """A x8 network whose image depends on its landmarks."""
    torch.manual_seed(1)
    config = AffectSRNetConfig(
        scale=8, num_features=8, growth_channels=4, num_blocks=1, graph_map_channels=8
    )
    network = AffectSRNet(config)
    for merge in network.merges:
        torch.nn.init.normal_(merge.fuse.weight, std=0.5)
    return network.eval()
