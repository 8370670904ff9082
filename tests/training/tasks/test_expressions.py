from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_store.affectsrnet.config import AffectSRNetConfig
from model_store.emotion.classifier import EMOTIONS, EmotionClassifier
from model_store.store import ModelStore
from tests.tiny_classifiers import TINY_CLASSIFIERS
from tests.training.data.expressions.labelled_faces import write_tinted_pack
from tests.training.runs import CPU, make_trainer, run
from training.checkpoint import load_checkpoint
from training.config import (
    AugmentationConfig,
    ExpressionDataConfig,
    ExpressionTaskConfig,
    OptimizerConfig,
    SuperResolutionTaskConfig,
    TrainConfig,
    config_document,
    parse_config,
)
from training.data.draws import BatchDraws
from training.errors import ConfigError
from training.tasks.build import build_task, open_dataset
from training.tasks.expressions import ExpressionTask

MILD = AugmentationConfig(colour_probability=0, grey_probability=0)
CONFIG = TrainConfig(
    name="expressions",
    task=ExpressionTaskConfig(network=TINY_CLASSIFIERS[0], erasing_probability=0.0),
    data=ExpressionDataConfig(packs=("tints",)),
    max_steps=4,
    batch_size=8,
    augmentation=MILD,
    optimizer=OptimizerConfig(learning_rate=1e-2, warmup_steps=1, ema_decay=0.8),
    precision="float32",
    checkpoint_every=2,
    validate_every=2,
)


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    write_tinted_pack(tmp_path / "packs/tints", [4, 8, 4, 4, 2, 2, 4])
    return tmp_path / "packs"


def make_task(config: TrainConfig, *, packs: Path) -> ExpressionTask:
    dataset = open_dataset(config, root=packs)
    task = build_task(config, dataset=dataset, store=ModelStore(packs), device=CPU)
    assert isinstance(task, ExpressionTask)
    return task


def step_draws(step: int = 0) -> BatchDraws:
    return BatchDraws.of_step(seed=0, step=step, batch_size=8)


@pytest.mark.parametrize("network", TINY_CLASSIFIERS, ids=lambda config: config.architecture)
def test_a_step_reaches_every_parameter_once_in_its_group(network: object, packs: Path) -> None:
    task = make_task(
        replace(CONFIG, task=ExpressionTaskConfig(network=network, backbone_rate=0.1)),  # type: ignore[arg-type]
        packs=packs,
    )
    loss = task.compute_loss(step_draws())
    loss.total.backward()
    assert {"cross_entropy", "accuracy"} <= set(loss.terms)
    backbone, behind = task.parameter_groups()
    assert (backbone.rate, behind.rate) == (0.1, 1.0)
    grouped = [*backbone.parameters, *behind.parameters]
    assert sorted(map(id, grouped)) == sorted(map(id, task.network.parameters()))
    for name, parameter in task.network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_heads_are_kept_apart_where_it_is_asked_for(packs: Path) -> None:
    config = ExpressionTaskConfig(network=TINY_CLASSIFIERS[1], diversity_weight=0.1)
    apart = make_task(replace(CONFIG, task=config), packs=packs)
    alone = make_task(replace(CONFIG, task=replace(config, diversity_weight=0.0)), packs=packs)
    with_heads, without = (task.compute_loss(step_draws()) for task in (apart, alone))
    assert with_heads.terms["cross_entropy"].item() == pytest.approx(without.total.item(), rel=1e-5)
    added = with_heads.total - without.total
    assert added.item() == pytest.approx(0.1 * with_heads.terms["diversity"].item(), rel=1e-4)
    assert "diversity" not in without.terms


def test_the_same_draws_give_the_same_loss_twice(packs: Path) -> None:
    task = make_task(CONFIG, packs=packs)
    first, second = (task.compute_loss(step_draws(3)).total.item() for _ in range(2))
    assert first == second != task.compute_loss(step_draws(4)).total.item()


def test_smoothed_labels_share_out_what_they_take(packs: Path) -> None:
    config = replace(CONFIG, augmentation=replace(MILD, flip_probability=0, warp_probability=0))
    still = replace(config.task, low_resolution_probability=0.0, label_smoothing=0.1)
    task = make_task(replace(config, task=still), packs=packs)
    faces = open_dataset(config, root=packs).train_batch(step_draws())
    with torch.no_grad():
        logs = task.network.train()(faces.images).log_softmax(1)
        loss = task.compute_loss(step_draws()).total
    right = torch.nn.functional.one_hot(faces.labels, len(EMOTIONS))
    target = 0.9 * right + 0.1 / len(EMOTIONS)
    assert loss.item() == pytest.approx(float(-(target * logs).sum(1).mean()), rel=1e-5)


def test_colours_are_learnt_and_scored_at_every_side(packs: Path, tmp_path: Path) -> None:
    config = replace(
        CONFIG,
        max_steps=40,
        validate_every=40,
        batch_size=14,
        optimizer=replace(CONFIG.optimizer, learning_rate=2e-2, ema_decay=0.5),
    )
    result = run(config, packs=packs, runs=tmp_path)
    assert result.best_score > 0.8
    task = make_task(config, packs=packs)
    network = task.network.eval()
    network.load_state_dict(load_checkpoint(tmp_path / "expressions/best.pt").ema)
    scores = task.validate(network, "validation")
    assert scores["score"] == pytest.approx(
        (scores["accuracy_112px"] + scores["mean_class_accuracy_112px"]) / 2
    )
    assert scores["score"] == pytest.approx(result.best_score)
    assert scores["accuracy_32px"] > 0.8  # a tint is left at any size
    assert {"macro_f1_64px", "cross_entropy_32px"} <= set(scores)
    assert task.preview(network).shape == (12, 3, 3, 112, 112)


def test_a_resumed_run_equals_an_unbroken_one(packs: Path, tmp_path: Path) -> None:
    run(CONFIG, packs=packs, runs=tmp_path / "whole")
    make_trainer(CONFIG, packs=packs, runs=tmp_path / "parts").run(max_minutes=0)
    again = make_trainer(CONFIG, packs=packs, runs=tmp_path / "parts")
    again.resume()
    again.run()
    whole, parts = (
        load_checkpoint(tmp_path / name / "expressions/last.pt") for name in ("whole", "parts")
    )
    assert parts.step == whole.step == 4
    assert all(torch.equal(value, parts.ema[key]) for key, value in whole.ema.items())


def test_weights_start_the_same_for_the_same_seed(packs: Path) -> None:
    one, two = (make_task(CONFIG, packs=packs).network for _ in range(2))
    assert isinstance(one, EmotionClassifier)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_a_configuration_of_expressions_survives_as_a_document() -> None:
    assert parse_config(config_document(CONFIG)) == CONFIG


def test_data_of_another_kind_than_the_tasks_are_refused() -> None:
    document = config_document(CONFIG)
    faces = {**document, "data": {"packs": ["faces"]}}
    with pytest.raises(ConfigError, match=r'data\.kind is "faces"; the task "expression" learns'):
        parse_config(faces)
    with pytest.raises(ConfigError, match='the task "expression" has no degradation'):
        parse_config({**document, "degradation": {"blur_probability": 0.5}})
    upscaling = SuperResolutionTaskConfig(network=AffectSRNetConfig(scale=4))
    with pytest.raises(ValueError, match=r'data\.kind is "expressions"; the task "super_resol'):
        replace(CONFIG, task=upscaling)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label_smoothing": 1.5}, "label_smoothing is 1.5; it must be from 0 to 1"),
        ({"low_resolution_sides_px": (32, 16)}, r"is \[32, 16\]; it must be \[low, high\]"),
        ({"low_resolution_sides_px": (16, 200)}, "within 1 and 112"),
        ({"erased_share": (0.1,)}, r"erased_share is \[0.1\]"),
        ({"diversity_weight": 0.1}, "diversity_weight is 0.1 for 0 attention heads"),
    ],
)
def test_ranges_of_the_task_are_checked(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExpressionTaskConfig(network=TINY_CLASSIFIERS[0], **values)  # type: ignore[arg-type]
