"""Small face packs and configurations for the tests of training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from model_store.affectsrnet.config import AffectSRNetConfig
from training.config import DataConfig, LandmarkTaskConfig, SuperResolutionTaskConfig, TrainConfig
from training.data.pack import FaceRecord, write_pack

MakePack = Callable[..., Path]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny networks are slower on two threads, and their sums depend on the number."""
    torch.set_num_threads(1)


@pytest.fixture
def without_mediapipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The faces here are noise to it, and opening it takes longer than all the rest."""

    def not_installed() -> None:
        raise ImportError("no module named mediapipe")

    monkeypatch.setattr("training.evaluation.open_measures.MediaPipeMesh", not_installed)


@pytest.fixture
def make_pack(tmp_path: Path) -> MakePack:
    """Write a pack of coarse random "faces" whose landmarks scatter about a grid."""

    def make(name: str = "faces", *, faces: int = 12, validation: int = 3) -> Path:
        rng = np.random.default_rng(len(name))
        coarse = rng.integers(0, 256, (faces, 8, 8, 3), dtype=np.uint8)
        images = coarse.repeat(16, axis=1).repeat(16, axis=2)
        grid = np.stack(np.meshgrid(np.linspace(0.2, 0.8, 24), np.linspace(0.2, 0.8, 20)), -1)
        points = grid.reshape(-1, 2)[:478]
        landmarks = np.zeros((faces, 478, 3), dtype=np.float32)
        landmarks[..., :2] = points + rng.normal(0, 0.02, (faces, 478, 2))
        records = [
            FaceRecord(
                file=f"{i}.png",
                sha256="0" * 64,
                group=str(i),
                split="validation" if i < validation else "train",
                sharpness=float(1 + i),
            )
            for i in range(faces)
        ]
        root = tmp_path / "packs"
        write_pack(root / name, records, images=images, landmarks=landmarks, skipped=[])
        return root

    return make


@pytest.fixture
def tiny_config() -> TrainConfig:
    """A x4 backbone of one block without landmarks: a step takes milliseconds."""
    network = AffectSRNetConfig(
        scale=4, num_features=8, growth_channels=4, num_blocks=1, landmark_fusion=False
    )
    return TrainConfig(
        name="tiny",
        task=SuperResolutionTaskConfig(network=network),
        data=DataConfig(packs=("faces",)),
        max_steps=6,
        batch_size=2,
        precision="float32",
        checkpoint_every=2,
        validate_every=2,
    )


@pytest.fixture
def landmark_config(tiny_config: TrainConfig) -> TrainConfig:
    return TrainConfig(
        name="marks",
        task=LandmarkTaskConfig(face_model_draws=600),
        data=tiny_config.data,
        max_steps=2,
        batch_size=4,
        validate_every=2,
    )
