"""Sets of coarse random faces, and tiny networks to measure on them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from model_store.affectsrnet.config import AffectSRNetConfig
from model_store.affectsrnet.network import AffectSRNet
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from training.evaluation.faces import FaceSet

MakeFaceSet = Callable[..., FaceSet]


@pytest.fixture
def make_face_set() -> MakeFaceSet:
    def make(name: str = "test_faces", *, faces: int = 4) -> FaceSet:
        rng = np.random.default_rng(len(name))
        coarse = rng.integers(0, 256, (faces, 8, 8, 3), dtype=np.uint8)
        images = coarse.repeat(16, axis=1).repeat(16, axis=2)
        landmarks = torch.from_numpy(rng.uniform(0.2, 0.8, (faces, 478, 3))).float()
        landmarks[:, 33, :2] = torch.tensor([0.3, 0.4])  # outer corners, 0.4 apart
        landmarks[:, 263, :2] = torch.tensor([0.7, 0.4])
        stems = tuple(f"face_{i}" for i in range(faces))
        return FaceSet(name, f"digest of {name}", stems, tuple(images), landmarks)

    return make


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
