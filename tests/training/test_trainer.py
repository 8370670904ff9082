import json
import math
import os
import signal
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model_store.affectsrnet.network import AffectSRNet
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from model_store.store import ModelStore
from tests.published import publish_untrained
from tests.training.conftest import MakePack
from tests.training.runs import make_trainer, run
from training.checkpoint import load_checkpoint
from training.config import OptimizerConfig, SuperResolutionTaskConfig, TrainConfig
from training.data.datasets import FaceBatch
from training.data.draws import BatchDraws
from training.data.pack import Split
from training.errors import CheckpointError, ConfigError, DivergedError
from training.losses.terms import LossTerms
from training.stepping import learning_rate_at
from training.tasks.build import build_network_of, initialise_from
from training.tasks.task import ParameterGroup
from training.weight_average import WeightAverage


def test_training_lowers_the_loss_and_leaves_a_curve(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    config = replace(
        tiny_config,
        max_steps=40,
        validate_every=20,
        optimizer=OptimizerConfig(learning_rate=5e-3, warmup_steps=2, ema_decay=0.5),
    )
    result = run(config, packs=make_pack(), runs=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "tiny/curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 20, 40]
    assert [line["images_seen"] for line in lines] == [0, 40, 80]
    assert lines[-1]["psnr_gain_db"] > lines[0]["psnr_gain_db"] + 0.05
    assert result.reason == "max_steps"
    assert result.best_score == max(line["psnr_gain_db"] for line in lines)
    assert list((tmp_path / "tiny").glob("events.out.tfevents.*"))


def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    packs = make_pack()
    run(tiny_config, packs=packs, runs=tmp_path / "whole")
    broken = make_trainer(tiny_config, packs=packs, runs=tmp_path / "broken")
    assert broken.run(max_minutes=0).step == 1  # stops after the step in hand
    again = make_trainer(tiny_config, packs=packs, runs=tmp_path / "broken")
    again.resume()
    assert again.run().step == 6
    whole, resumed = (
        load_checkpoint(tmp_path / name / "tiny/last.pt") for name in ("whole", "broken")
    )
    for key, value in whole.weights.items():
        assert torch.equal(value, resumed.weights[key]), key
    for key, value in whole.ema.items():
        assert torch.equal(value, resumed.ema[key]), key


def test_a_run_of_another_configuration_is_not_resumed(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    packs = make_pack()
    run(tiny_config, packs=packs, runs=tmp_path)
    other = make_trainer(replace(tiny_config, batch_size=3), packs=packs, runs=tmp_path)
    with pytest.raises(CheckpointError, match="made with another configuration"):
        other.resume()


def test_a_run_stops_when_validation_gains_nothing_more(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    frozen = OptimizerConfig(learning_rate=0.0, final_learning_rate=0.0)
    config = replace(tiny_config, max_steps=50, validate_every=1, patience=3, optimizer=frozen)
    result = run(config, packs=make_pack(), runs=tmp_path)
    assert result.reason == "patience"
    assert result.step < 50


def test_sigterm_ends_the_run_with_a_checkpoint(
    tiny_config: TrainConfig,
    make_pack: MakePack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = make_trainer(tiny_config, packs=make_pack(), runs=tmp_path)
    take = trainer._stepper.take

    def take_step_and_kill(step: int) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return take(step)

    monkeypatch.setattr(trainer._stepper, "take", take_step_and_kill)
    before = signal.getsignal(signal.SIGTERM)
    result = trainer.run()
    assert result.reason == "interrupted"
    assert load_checkpoint(tmp_path / "tiny/last.pt").step == 1
    assert signal.getsignal(signal.SIGTERM) is before


class DivergingTask:
    """A task whose loss is NaN from the third step on."""

    score_name = "score"

    def __init__(self) -> None:
        self.network: nn.Module = nn.Linear(1, 1)
        self.steps = 0

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(list(self.network.parameters()))]

    def compute_loss(self, faces: FaceBatch, *, draws: BatchDraws) -> LossTerms:
        self.steps += 1
        total = self.network(torch.ones(1, 1)).sum() * (math.nan if self.steps > 2 else 1.0)
        return LossTerms(total, {"loss": total.detach()})

    def validate(self, network: nn.Module, split: Split) -> dict[str, float]:
        return {"score": 0.0}

    def preview(self, network: nn.Module) -> Tensor:
        return torch.zeros(1, 1, 3, 4, 4)


def test_a_diverged_run_stops_and_keeps_its_weights(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    config = replace(tiny_config, max_steps=50, max_skipped_steps=4)
    task = DivergingTask()
    trainer = make_trainer(config, packs=make_pack(), runs=tmp_path, task=task)
    with pytest.raises(DivergedError, match="not finite for 4 steps in a row; step 3: "):
        trainer.run()
    assert all(bool(torch.isfinite(p).all()) for p in task.network.parameters())


def test_a_backbone_with_rate_zero_stays_while_the_branch_learns(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    assert isinstance(tiny_config.task, SuperResolutionTaskConfig)
    store = ModelStore(tmp_path / "store")
    publish_untrained(store, Landmarker(LandmarkerConfig(num_coefficients=4)), name="landmarker")
    network = replace(tiny_config.task.network, landmark_fusion=True, graph_map_channels=8)
    task = SuperResolutionTaskConfig(network=network, backbone_rate=0.0)
    config = replace(tiny_config, task=task)
    trainer = make_trainer(config, packs=make_pack(), runs=tmp_path, store=store)
    before = {k: v.clone() for k, v in trainer._task.network.state_dict().items()}
    trainer.run()
    after = load_checkpoint(tmp_path / "tiny/last.pt").weights
    changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert changed
    assert all(key.startswith(("gcn.", "merges.")) for key in changed)


def test_the_learning_rate_rises_then_falls_to_its_end() -> None:
    options = OptimizerConfig(learning_rate=1.0, final_learning_rate=0.1, warmup_steps=10)
    rates = [learning_rate_at(step, options=options, max_steps=110) for step in range(111)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.55)
    assert rates[110] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_the_average_follows_the_weights() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = WeightAverage(network, decay=0.9)
    nn.init.ones_(network.weight)
    for step in range(1, 200):
        average.update(step=step)
    [weight] = average.state_dict().values()
    assert weight.item() == pytest.approx(1.0, abs=1e-3)
    assert not any(p.requires_grad for p in average.network.parameters())


def test_a_warm_start_takes_what_it_has_and_names_what_is_new(
    tiny_config: TrainConfig, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path)
    backbone = build_network_of(tiny_config)
    publish_untrained(store, backbone, name="tiny-x4")
    assert isinstance(tiny_config.task, SuperResolutionTaskConfig)
    network = replace(tiny_config.task.network, landmark_fusion=True, graph_map_channels=8)
    fused = AffectSRNet(network).eval()
    new = initialise_from(fused, "tiny-x4@1", store=store)
    assert new
    assert all(key.startswith(("gcn.", "merges.")) for key in new)
    lr = torch.rand(1, 3, 32, 32)
    started = store.load("tiny-x4@1").module
    assert torch.allclose(fused(lr, torch.rand(1, 478, 3)), started(lr), atol=1e-6)


def test_a_start_of_another_architecture_is_refused(
    tiny_config: TrainConfig, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path)
    publish_untrained(store, Landmarker(LandmarkerConfig(num_coefficients=4)), name="landmarker")
    network = build_network_of(tiny_config)
    with pytest.raises(CheckpointError, match="weights of another architecture"):
        initialise_from(network, "landmarker@1", store=store)
    with pytest.raises(CheckpointError, match="there is no model 'absent'"):
        initialise_from(network, "absent@1", store=store)


def test_fusion_without_a_published_landmarker_says_what_to_do(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    assert isinstance(tiny_config.task, SuperResolutionTaskConfig)
    network = replace(tiny_config.task.network, landmark_fusion=True, graph_map_channels=8)
    config = replace(tiny_config, task=SuperResolutionTaskConfig(network=network))
    with pytest.raises(ConfigError, match="train and publish a landmarker first"):
        make_trainer(config, packs=make_pack(), runs=tmp_path)
