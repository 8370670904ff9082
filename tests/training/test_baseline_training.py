"""Every baseline is trained by the same task as AffectSRNet."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_store.store import ModelStore
from tests.tiny_baselines import BASELINES, tiny_configs
from tests.training.conftest import MakePack
from tests.training.runs import make_trainer
from training.checkpoint import load_checkpoint
from training.config import (
    OptimizerConfig,
    SuperResolutionTaskConfig,
    TrainConfig,
    config_document,
    parse_config,
)
from training.data.datasets import FaceDataset
from training.data.draws import BatchDraws
from training.tasks.build import build_task

CPU = torch.device("cpu")


def baseline_config(base: TrainConfig, architecture: str, *, scale: int = 8) -> TrainConfig:
    task = SuperResolutionTaskConfig(network=tiny_configs(scale)[architecture])
    return replace(
        base,
        name=architecture,
        task=task,
        max_steps=12,
        batch_size=4,
        validate_every=12,
        optimizer=OptimizerConfig(learning_rate=2e-3, warmup_steps=1, ema_decay=0.5),
    )


@pytest.mark.parametrize("architecture", BASELINES)
def test_a_few_steps_lower_the_loss(
    architecture: str, tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    config = baseline_config(tiny_config, architecture)
    packs = make_pack()
    dataset = FaceDataset(config.data, root=packs)
    task = build_task(config, dataset=dataset, store=ModelStore(tmp_path), device=CPU)
    faces = dataset.train_batch(BatchDraws.of_step(seed=1, step=0, batch_size=8))

    def loss() -> float:
        with torch.no_grad():
            draws = BatchDraws.of_step(seed=1, step=1, batch_size=8)
            return float(task.compute_loss(faces, draws=draws).total)

    before = loss()
    make_trainer(config, packs=packs, runs=tmp_path, task=task).run()
    assert loss() < before
    assert load_checkpoint(tmp_path / config.name / "last.pt").config == config


@pytest.mark.parametrize("architecture", BASELINES)
@pytest.mark.parametrize("scale", [4, 8])
def test_a_configuration_names_its_network(
    architecture: str, scale: int, tiny_config: TrainConfig
) -> None:
    config = baseline_config(tiny_config, architecture, scale=scale)
    document = config_document(config)
    assert document["task"]["network"]["architecture"] == architecture
    assert parse_config(document) == config
