import json
import math
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.training.conftest import MakePack
from tests.training.runs import make_trainer
from training.checkpoint import load_checkpoint
from training.config import TrainConfig
from training.data.draws import BatchDraws
from training.data.pack import Split
from training.errors import DivergedError
from training.loop.trainer import Trainer
from training.losses.terms import LossTerms
from training.tasks.task import ParameterGroup


class FragileTask:
    """Fits one number to 3; in some steps the loss or only its gradient is not finite."""

    score_name = "score"

    def __init__(
        self, *, nan_loss: Collection[int] = (), inf_gradient: Collection[int] = ()
    ) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
        self._nan_loss = nan_loss
        self._inf_gradient = inf_gradient
        self._step = 0

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(list(self.network.parameters()))]

    def compute_loss(self, draws: BatchDraws) -> LossTerms:
        self._step += 1
        inputs = draws.uniform(1)
        if self._step in self._nan_loss:
            inputs = inputs * math.nan
        found = self.network(inputs)
        if self._step in self._inf_gradient:
            found = found + (found - found.detach()).abs().sqrt()  # 0, and its slope infinite
        distance = (found - 3).square().mean()
        return LossTerms(distance, {"distance": distance.detach(), "one": torch.ones(())})

    def validate(self, network: nn.Module, split: Split) -> dict[str, float]:
        return {"score": 0.0}

    def preview(self, network: nn.Module) -> Tensor:
        return torch.zeros(1, 1, 3, 4, 4)


def make(config: TrainConfig, task: FragileTask, make_pack: MakePack, runs: Path) -> Trainer:
    packs = runs / "packs" if (runs / "packs").exists() else make_pack()
    return make_trainer(config, packs=packs, runs=runs, task=task)


@pytest.mark.parametrize("kind", ["nan_loss", "inf_gradient"])
def test_a_skipped_step_changes_neither_weights_nor_optimizer_nor_average(
    kind: str, tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    task = FragileTask(nan_loss=[3]) if kind == "nan_loss" else FragileTask(inf_gradient=[3])
    stepper = make(tiny_config, task, make_pack, tmp_path)._stepper
    assert not stepper.take(0).is_skipped
    assert not stepper.take(1).is_skipped
    before = state_of(stepper.optimizer, task.network, stepper.average.network)
    report = stepper.take(2)
    assert report.is_skipped
    assert (report.step, report.terms["one"]) == (3, 1.0)
    assert math.isnan(report.loss) == (kind == "nan_loss")
    assert not math.isfinite(report.gradient_norm)
    after = state_of(stepper.optimizer, task.network, stepper.average.network)
    assert list(before) == list(after)
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert not stepper.take(3).is_skipped
    moved = state_of(stepper.optimizer, task.network, stepper.average.network)
    assert all(bool(torch.isfinite(value).all()) for value in moved.values())
    assert not torch.equal(moved["network 0.weight"], before["network 0.weight"])


def state_of(
    optimizer: torch.optim.Optimizer, network: nn.Module, average: nn.Module
) -> dict[str, Tensor]:
    """Copies of all that a step may change."""
    moments = {
        f"moment {i} {name}": value
        for i, state in enumerate(optimizer.state.values())
        for name, value in state.items()
    }
    weights = {f"network {name}": value for name, value in network.state_dict().items()}
    averages = {f"average {name}": value for name, value in average.state_dict().items()}
    return {k: v.clone() for k, v in {**moments, **weights, **averages}.items()}


def test_skipped_steps_are_counted_and_listed_and_the_run_goes_on(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    config = replace(tiny_config, max_skipped_steps=2)
    result = make(config, FragileTask(nan_loss=[2, 4]), make_pack, tmp_path).run()
    assert (result.reason, result.step) == ("max_steps", 6)
    saved = load_checkpoint(tmp_path / "tiny/last.pt")
    assert (saved.skipped_steps, saved.skipped_in_a_row, saved.images_seen) == (2, 0, 4 * 2)
    lines = [json.loads(s) for s in (tmp_path / "tiny/skipped.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert math.isnan(lines[0]["terms"]["distance"])
    curve = [json.loads(s) for s in (tmp_path / "tiny/curve.jsonl").read_text().splitlines()]
    assert [line["skipped_steps"] for line in curve] == [0, 1, 2, 2]


def test_a_diverged_run_stops_with_a_report(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    config = replace(tiny_config, max_steps=50, max_skipped_steps=4)
    task = FragileTask(nan_loss=[3, 4, 5], inf_gradient=[6])
    message = (
        r"not finite for 4 steps in a row; step 3: distance nan, total nan, gradient norm nan "
        r"\(one 1\); step 6: gradient norm (inf|nan) \(distance .*last\.pt.*Lower the learning rate"
    )
    with pytest.raises(DivergedError, match=message):
        make(config, task, make_pack, tmp_path).run()
    assert load_checkpoint(tmp_path / "tiny/last.pt").step == 4
    assert all(bool(torch.isfinite(p).all()) for p in task.network.parameters())


def test_a_resumed_run_remembers_how_many_steps_it_skipped_in_a_row(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    config = replace(tiny_config, max_steps=50, max_skipped_steps=4)
    trainer = make(config, FragileTask(nan_loss=[1]), make_pack, tmp_path)
    trainer.run(max_minutes=0)
    again = make(config, FragileTask(nan_loss=range(100)), make_pack, tmp_path)
    again.resume()
    with pytest.raises(DivergedError, match=r"not finite for 4 steps in a row; step 2: .*step 4: "):
        again.run()
