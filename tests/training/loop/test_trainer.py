import io
import json
import os
import signal
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from model_store.image_tensor import RgbImage
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from model_store.store import ModelStore
from tests.published import publish_untrained
from tests.training.conftest import MakePack
from tests.training.runs import make_trainer, run
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.config import OptimizerConfig, SuperResolutionTaskConfig, TrainConfig
from training.data.pack import open_pack
from training.errors import CheckpointError, ConfigError
from training.loop.stepping import StepReport, learning_rate_at
from training.loop.trainer import Trainer, TrainResult
from training.loop.weight_average import WeightAverage
from training.train import name_start


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
    lines = read_curve(tmp_path / "tiny")
    assert [line["step"] for line in lines] == [0, 20, 40]
    assert [line["images_seen"] for line in lines] == [0, 40, 80]
    assert lines[-1]["psnr_gain_db"] > lines[0]["psnr_gain_db"] + 0.05
    assert result.reason == "max_steps"
    assert result.best_score == max(line["psnr_gain_db"] for line in lines)
    for line in lines:
        gap = line["train_psnr_gain_db"] - line["psnr_gain_db"]
        assert line["gap"] == pytest.approx(gap)
        assert line["learning_rate"] == learning_rate_at(
            int(line["step"]), options=config.optimizer, max_steps=40
        )
    assert [line["minutes"] for line in lines] == sorted(line["minutes"] for line in lines)


def test_tensorboard_has_scalars_and_pictures_of_the_same_faces(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    run(tiny_config, packs=make_pack(), runs=tmp_path)
    events = EventAccumulator(str(tmp_path / "tiny")).Reload()
    assert [e.step for e in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]
    assert [e.step for e in events.Scalars("validation/gap")] == [0, 2, 4, 6]
    pictures = [decode_image(e.encoded_image_string) for e in events.Images("validation/faces")]
    lr, bicubic, sr, hr = ([p[:128, k * 130 : k * 130 + 128] for p in pictures] for k in range(4))
    assert pictures[0].shape == (3 * 130 - 2, 4 * 130 - 2, 3)  # three validation faces
    pack = open_pack(tmp_path / "packs/faces")
    assert all(np.array_equal(picture, pack.images[0]) for picture in hr)
    assert all(np.array_equal(picture, lr[0]) for picture in lr)
    assert np.array_equal(lr[0], lr[0][::4, ::4].repeat(4, 0).repeat(4, 1))
    assert np.array_equal(bicubic[0], bicubic[-1])
    assert not np.array_equal(sr[0], sr[-1])


def decode_image(encoded: bytes) -> RgbImage:
    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("stop_after", [1, 3, 4])
def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(
    stop_after: int, tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    packs = make_pack()
    run(tiny_config, packs=packs, runs=tmp_path / "whole")
    broken = make_trainer(tiny_config, packs=packs, runs=tmp_path / "broken")
    assert interrupt(broken, after=stop_after).step == stop_after
    again = make_trainer(tiny_config, packs=packs, runs=tmp_path / "broken")
    again.resume()
    assert again.run().step == 6
    whole, resumed = (
        load_checkpoint(tmp_path / name / "tiny/last.pt") for name in ("whole", "broken")
    )
    for name, expected in flatten(whole).items():
        found = flatten(resumed)[name]
        assert torch.equal(found, expected) if isinstance(found, Tensor) else found == expected
    curves = [read_curve(tmp_path / name / "tiny") for name in ("whole", "broken")]
    scheduled = [line for line in curves[1] if line["step"] % 2 == 0]
    assert [without_clock(line) for line in scheduled] == [without_clock(x) for x in curves[0]]


def interrupt(trainer: Trainer, *, after: int) -> TrainResult:
    """Run until a signal comes in step ``after`` (from 1)."""
    take = trainer._stepper.take

    def take_and_interrupt(step: int) -> StepReport:
        if step + 1 == after:
            os.kill(os.getpid(), signal.SIGTERM)
        return take(step)

    with mock.patch.object(trainer._stepper, "take", take_and_interrupt):
        return trainer.run()


def flatten(checkpoint: Checkpoint) -> dict[str, object]:
    """Everything of a checkpoint but its clock, tensors by their place."""
    optimizer = checkpoint.optimizer
    states = optimizer["state"]
    assert isinstance(states, dict)
    flat = {k: v for k, v in vars(checkpoint).items() if k != "seconds"}
    for name in ("weights", "ema", "optimizer"):
        del flat[name]
    flat |= {f"weights.{key}": value for key, value in checkpoint.weights.items()}
    flat |= {f"ema.{key}": value for key, value in checkpoint.ema.items()}
    flat |= {f"{i}.{key}": v for i, state in states.items() for key, v in state.items()}
    return {**flat, "groups": optimizer["param_groups"]}


def read_curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


def without_clock(line: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in line.items() if name != "minutes"}


def test_a_finished_run_is_resumed_to_its_end_and_left_alone(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    packs = make_pack()
    first = run(tiny_config, packs=packs, runs=tmp_path)
    before = (tmp_path / "tiny/last.pt").read_bytes()
    again = make_trainer(tiny_config, packs=packs, runs=tmp_path)
    again.resume()
    assert again.run() == first
    assert (tmp_path / "tiny/last.pt").read_bytes() == before
    assert [line["step"] for line in read_curve(tmp_path / "tiny")] == [0, 2, 4, 6]


def test_steps_after_the_last_checkpoint_are_taken_again_and_logged_once(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    packs = make_pack()
    config = replace(tiny_config, checkpoint_every=4)
    run(config, packs=packs, runs=tmp_path)
    expected = read_curve(tmp_path / "tiny")
    interrupt(make_trainer(config, packs=packs, runs=tmp_path / "b"), after=4)
    curve = tmp_path / "b/tiny/curve.jsonl"
    # As a kill in step 7 leaves it: a line beyond the checkpoint, and the start of another.
    curve.write_text(curve.read_text() + '{"step": 6, "psnr_db": 1}\n{"step": 8, "psn')
    again = make_trainer(config, packs=packs, runs=tmp_path / "b")
    again.resume()
    again.run()
    found = read_curve(tmp_path / "b/tiny")
    assert [without_clock(line) for line in found] == [without_clock(line) for line in expected]


def test_a_run_that_starts_anew_keeps_no_line_of_one_that_never_saved(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/curve.jsonl").write_text('{"step": 0}\n{"step": 2}\n')
    make_trainer(tiny_config, packs=make_pack(), runs=tmp_path).run(max_minutes=0)
    assert [line["step"] for line in read_curve(tmp_path / "tiny")] == [0, 1]


def test_a_checkpoint_of_another_architecture_is_refused(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    packs = make_pack()
    run(tiny_config, packs=packs, runs=tmp_path)
    path = tmp_path / "tiny/last.pt"
    saved = load_checkpoint(path)
    weights = {key: value for key, value in saved.weights.items() if key != "conv_hr.bias"}
    save_checkpoint(path, replace(saved, weights=weights))
    with pytest.raises(CheckpointError, match=r"another architecture .*conv_hr\.bias.*new run"):
        make_trainer(tiny_config, packs=packs, runs=tmp_path).resume()


def test_a_run_of_an_earlier_format_is_not_resumed(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    packs = make_pack()
    run(tiny_config, packs=packs, runs=tmp_path)
    path = tmp_path / "tiny/last.pt"
    torch.save({**torch.load(path), "format": 1}, path)
    with pytest.raises(CheckpointError, match=r"has format 1.*start a new run with --init .*last"):
        make_trainer(tiny_config, packs=packs, runs=tmp_path).resume()


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
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    trainer = make_trainer(tiny_config, packs=make_pack(), runs=tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    result = interrupt(trainer, after=1)
    assert result.reason == "interrupted"
    assert load_checkpoint(tmp_path / "tiny/last.pt").step == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_time_that_is_up_ends_the_run_after_the_step_in_hand(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    result = make_trainer(tiny_config, packs=make_pack(), runs=tmp_path).run(max_minutes=0)
    assert (result.reason, result.step) == ("max_minutes", 1)
    # Off its schedule it is measured all the same, so that the best is up to date.
    assert [line["step"] for line in read_curve(tmp_path / "tiny")] == [0, 1]


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


def test_fusion_without_a_published_landmarker_says_what_to_do(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    assert isinstance(tiny_config.task, SuperResolutionTaskConfig)
    network = replace(tiny_config.task.network, landmark_fusion=True, graph_map_channels=8)
    config = replace(tiny_config, task=SuperResolutionTaskConfig(network=network))
    with pytest.raises(ConfigError, match="train and publish a landmarker first"):
        make_trainer(config, packs=make_pack(), runs=tmp_path)


@pytest.mark.parametrize(
    ("init", "named"),
    [
        ("affectsrnet-x8@1", "affectsrnet-x8@1"),
        ("somewhere/weights.safetensors", "weights.safetensors"),
        ("somewhere/runs/mine-x8/best.pt", "mine-x8/best.pt"),
    ],
)
def test_a_start_is_named_without_the_folders_of_the_machine(init: str, named: str) -> None:
    assert name_start(init) == named
