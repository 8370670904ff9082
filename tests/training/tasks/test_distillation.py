"""A small network learns from a published one, beside the originals."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model_store.affectsrnet.config import AffectSRNetConfig
from model_store.affectsrnet.network import AffectSRNet
from model_store.architectures import UpscalerConfig
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from model_store.store import ModelStore
from tests.published import publish_untrained
from tests.tiny_baselines import tiny_configs
from tests.training.conftest import MakePack
from training.config import (
    DistillationConfig,
    LossConfig,
    SuperResolutionTaskConfig,
    TrainConfig,
    config_document,
    parse_config,
)
from training.data.datasets import FaceDataset
from training.data.draws import BatchDraws
from training.errors import ConfigError
from training.tasks.build import build_task
from training.tasks.distillation import Teacher
from training.tasks.task import TrainingTask

CPU = torch.device("cpu")
PLAIN = AffectSRNetConfig(
    scale=4, num_features=8, growth_channels=4, num_blocks=1, landmark_fusion=False
)
FUSED = replace(PLAIN, landmark_fusion=True, graph_map_channels=8, gcn_features=4)


class Constant(nn.Module):
    """Gives images of one value, and notes what it was called with."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value
        self.num_inputs = 0

    def forward(self, lr: Tensor, *landmarks: Tensor) -> Tensor:
        self.num_inputs = 1 + len(landmarks)
        return torch.full((len(lr), 3, 8, 8), self.value)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    store = ModelStore(tmp_path / "store")
    publish_untrained(store, Landmarker(LandmarkerConfig(num_coefficients=4)), name="landmarker")
    publish_untrained(store, AffectSRNet(FUSED), name="fused-x4")
    publish_untrained(store, AffectSRNet(PLAIN), name="plain-x4")
    publish_untrained(store, AffectSRNet(replace(PLAIN, scale=8)), name="plain-x8")
    return store


@pytest.fixture
def packs(make_pack: MakePack) -> Path:
    return make_pack()


def task_of(
    config: TrainConfig,
    packs: Path,
    store: ModelStore,
    *,
    teacher: str,
    weight: float = 1.0,
    network: UpscalerConfig = PLAIN,
) -> TrainingTask:
    task = SuperResolutionTaskConfig(
        network=network,
        loss=LossConfig(pixel_weight=0.5),
        distillation=DistillationConfig(teacher=teacher, weight=weight),
    )
    config = replace(config, task=task)
    assert parse_config(config_document(config)) == config
    dataset = FaceDataset(config.data, root=packs)
    return build_task(config, dataset=dataset, store=store, device=CPU)


def draws() -> BatchDraws:
    return BatchDraws.of_step(seed=1, step=0, batch_size=2)


def test_distance_is_from_the_image_as_a_file_would_hold_it() -> None:
    sr = torch.full((2, 3, 8, 8), 0.75, requires_grad=True)
    found = Teacher(Constant(1.5), None, weight=3.0).compare(sr, torch.rand(2, 3, 2, 2))
    assert float(found.terms["distillation"]) == pytest.approx(0.25)
    assert found.total.item() == pytest.approx(0.75)
    found.total.backward()
    assert sr.grad is not None
    assert float(sr.grad.abs().sum()) == pytest.approx(3.0)


def test_teacher_that_takes_landmarks_has_its_own() -> None:
    network = Constant(0.0)
    landmarker = Landmarker(LandmarkerConfig(num_coefficients=4)).eval()
    lr, sr = torch.rand(2, 3, 16, 16), torch.zeros(2, 3, 8, 8)
    Teacher(network, landmarker, weight=1.0).compare(sr, lr)
    assert network.num_inputs == 2
    Teacher(network, None, weight=1.0).compare(sr, lr)
    assert network.num_inputs == 1


@pytest.mark.parametrize("teacher", ["plain-x4", "fused-x4@1"])
@pytest.mark.parametrize("student", [PLAIN, FUSED, *tiny_configs(4).values()])
def test_every_network_learns_from_every_teacher(
    student: UpscalerConfig,
    teacher: str,
    tiny_config: TrainConfig,
    packs: Path,
    store: ModelStore,
) -> None:
    alone = task_of(tiny_config, packs, store, teacher="", network=student)
    taught = task_of(tiny_config, packs, store, teacher=teacher, weight=4.0, network=student)
    taught.network.load_state_dict(alone.network.state_dict())
    without, found = (task.compute_loss(draws()) for task in (alone, taught))
    assert set(found.terms) == {*without.terms, "distillation"}
    added = (found.total - without.total).item()
    assert added == pytest.approx(4 * float(found.terms["distillation"]), abs=1e-4)
    found.total.backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in taught.network.parameters())


def test_student_that_is_its_teacher_has_nothing_to_learn_from_it(
    tiny_config: TrainConfig, packs: Path, store: ModelStore
) -> None:
    task = task_of(tiny_config, packs, store, teacher="plain-x4")
    task.network.load_state_dict(store.load("plain-x4").module.state_dict())
    # The student's image is not held within [0, 1], the teacher's is.
    assert float(task.compute_loss(draws()).terms["distillation"]) < 0.02


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("gone", r"task\.distillation\.teacher: there is no model 'gone'"),
        ("landmarker", "landmarker is a Landmarker, which does not upscale"),
        ("plain-x8", r"plain-x8 upscales x8 and task\.network x4; name a teacher of the same"),
    ],
)
def test_teacher_that_does_not_serve_is_named(
    teacher: str, message: str, tiny_config: TrainConfig, packs: Path, store: ModelStore
) -> None:
    with pytest.raises(ConfigError, match=message):
        task_of(tiny_config, packs, store, teacher=teacher)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf")])
def test_weight_of_the_teacher_is_a_number_above_0(weight: float) -> None:
    with pytest.raises(ValueError, match="it must be a number above 0"):
        DistillationConfig(teacher="x", weight=weight)
