"""Every baseline is trained by the same task as AffectSRNet."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_store.store import ModelStore
from tests.published import publish_untrained
from tests.tiny_baselines import BASELINES, tiny_configs
from tests.training.conftest import MakePack
from tests.training.runs import make_trainer
from training.config import (
    SuperResolutionTaskConfig,
    TrainConfig,
    config_document,
    parse_config,
)
from training.data.datasets import FaceDataset
from training.data.draws import BatchDraws
from training.evaluation.models import load_trained
from training.tasks.build import build_task

CPU = torch.device("cpu")


def baseline_config(base: TrainConfig, architecture: str, *, scale: int = 4) -> TrainConfig:
    task = SuperResolutionTaskConfig(network=tiny_configs(scale)[architecture])
    return replace(base, name=architecture, task=task)


@pytest.mark.parametrize("architecture", BASELINES)
def test_a_few_steps_lower_the_loss(
    architecture: str, tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    config = baseline_config(tiny_config, architecture)
    dataset = FaceDataset(config.data, root=make_pack())
    task = build_task(config, dataset=dataset, store=ModelStore(tmp_path), device=CPU)
    optimizer = torch.optim.Adam(task.network.parameters(), lr=5e-3)
    losses = []
    for _ in range(5):
        draws = BatchDraws.of_step(seed=1, step=1, batch_size=2)  # the same faces each time
        loss = task.compute_loss(draws)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        losses.append(loss.total.item())
    assert all(math.isfinite(value) for value in losses)
    assert losses[-1] < losses[0]


def test_a_run_of_a_baseline_leaves_what_can_be_published(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    config = replace(baseline_config(tiny_config, "edsr", scale=8), max_steps=2)
    make_trainer(config, packs=make_pack(), runs=tmp_path / "runs").run()
    trained = load_trained(tmp_path / "runs/edsr", store=ModelStore(tmp_path))
    assert trained.checkpoint.config == config
    assert trained.landmarker is None
    publish_untrained(ModelStore(tmp_path / "store"), trained.network, name="edsr-x8")
    published = ModelStore(tmp_path / "store").load("edsr-x8").module
    lr = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(published(lr), trained.network(lr), atol=2e-3, rtol=0)


@pytest.mark.parametrize("architecture", BASELINES)
@pytest.mark.parametrize("scale", [4, 8])
def test_a_configuration_names_its_network(
    architecture: str, scale: int, tiny_config: TrainConfig
) -> None:
    config = baseline_config(tiny_config, architecture, scale=scale)
    document = config_document(config)
    assert document["task"]["network"]["architecture"] == architecture
    assert parse_config(document) == config
