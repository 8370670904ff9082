from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.training.conftest import MakePack
from tests.training.runs import make_trainer
from training.config import OptimizerConfig, TrainConfig
from training.data.draws import BatchDraws
from training.data.pack import Split
from training.loop.sharpness import climbed
from training.loop.stepping import Stepper
from training.losses.terms import LossTerms
from training.tasks.task import ParameterGroup

RADIUS = 0.3


class CurvedTask:
    """Fits a . x + b of drawn numbers to their cosine, by the fourth power of the distance."""

    score_name = "score"

    def __init__(self, *, breaks: bool = False) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Linear(2, 1)
        self.losses: list[float] = []
        self._breaks = breaks

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(list(self.network.parameters()))]

    def compute_loss(self, draws: BatchDraws) -> LossTerms:
        inputs = draws.uniform(2)
        distance = self.network(inputs)[:, 0] - torch.cos(inputs.sum(1))
        loss = distance.pow(4).mean()
        if self._breaks:
            loss = loss * torch.inf
        self.losses.append(loss.item())
        return LossTerms(loss, {})

    def validate(self, network: nn.Module, split: Split) -> dict[str, float]:
        return {"score": 0.0}

    def preview(self, network: nn.Module) -> Tensor:
        return torch.zeros(1, 1, 3, 4, 4)


StepperOf = Callable[..., Stepper]


@pytest.fixture
def stepper_of(tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path) -> StepperOf:
    packs = make_pack()

    def make(task: object, *, radius: float) -> Stepper:
        options = OptimizerConfig(
            sam_radius=radius, max_gradient_norm=1e9, learning_rate=0.01, warmup_steps=1
        )
        config = replace(tiny_config, optimizer=options, batch_size=5)
        return make_trainer(config, packs=packs, runs=tmp_path, task=task)._stepper

    return make


def reference_gradient(
    weight: np.ndarray, bias: float, inputs: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """Loss of the task and its gradient, by hand: d/da of d^4 is 4 d^3 x."""
    distance = inputs @ weight + bias - np.cos(inputs.sum(1))
    slope = 4 * distance**3 / len(inputs)
    return slope @ inputs, float(slope.sum()), float((distance**4).mean())


def test_a_step_takes_the_gradient_up_the_hill_and_goes_from_where_it_was(
    stepper_of: StepperOf, tiny_config: TrainConfig
) -> None:
    task = CurvedTask()
    assert isinstance(task.network, nn.Linear)
    weight = task.network.weight.detach().double().numpy()[0].copy()
    bias = float(task.network.bias.detach())
    report = stepper_of(task, radius=RADIUS).take(0)

    draws = BatchDraws.of_step(seed=tiny_config.seed, step=0, batch_size=5)
    inputs = draws.uniform(2).double().numpy()
    first, first_bias, loss = reference_gradient(weight, bias, inputs)
    length = np.sqrt((first**2).sum() + first_bias**2)
    up = RADIUS / length
    second, second_bias, higher = reference_gradient(
        weight + up * first, bias + up * first_bias, inputs
    )
    assert task.losses == pytest.approx([loss, higher], rel=1e-5)
    assert report.loss == pytest.approx(loss, rel=1e-5)
    assert task.network.weight.grad is not None
    assert task.network.bias.grad is not None
    assert task.network.weight.grad[0].tolist() == pytest.approx(second.tolist(), rel=1e-4)
    assert float(task.network.bias.grad) == pytest.approx(second_bias, rel=1e-4)
    # Adam's first step is the learning rate long, against the gradient's sign.
    stepped = weight - 0.01 * np.sign(second)
    assert task.network.weight[0].tolist() == pytest.approx(stepped.tolist(), rel=1e-4)


def test_without_a_radius_there_is_one_pass(stepper_of: StepperOf) -> None:
    task = CurvedTask()
    stepper_of(task, radius=0.0).take(0)
    assert len(task.losses) == 1


def test_a_step_that_is_not_finite_leaves_the_weights_to_the_bit(stepper_of: StepperOf) -> None:
    task = CurvedTask(breaks=True)
    before = [parameter.detach().clone() for parameter in task.network.parameters()]
    assert stepper_of(task, radius=RADIUS).take(0).is_skipped
    after = list(task.network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


class NormalisedTask(CurvedTask):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))


def test_batch_statistics_are_those_of_the_weights_that_are_kept(stepper_of: StepperOf) -> None:
    tracked = []
    for radius in (0.0, RADIUS):
        task = NormalisedTask()
        stepper_of(task, radius=radius).take(0)
        tracked.append(task.network.state_dict())
    for name in ("1.running_mean", "1.running_var", "1.num_batches_tracked"):
        assert torch.equal(tracked[0][name], tracked[1][name])


def test_what_has_no_gradient_does_not_move_and_what_has_comes_back() -> None:
    torch.manual_seed(0)
    idle, busy = nn.Parameter(torch.ones(2)), nn.Parameter(torch.tensor([3.0, 4.0]))
    busy.grad = torch.tensor([0.0, 2.0])
    with climbed([idle, busy], radius=0.5):
        assert idle.tolist() == [1.0, 1.0]
        assert busy.tolist() == [3.0, 4.5]
    assert busy.tolist() == [3.0, 4.0]
    flat = nn.Parameter(torch.ones(2))
    flat.grad = torch.zeros(2)
    with climbed([flat], radius=0.5):
        assert flat.tolist() == [1.0, 1.0]
