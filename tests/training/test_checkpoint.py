from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch

from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.config import TrainConfig
from training.errors import CheckpointError


@pytest.fixture
def checkpoint(tiny_config: TrainConfig) -> Checkpoint:
    return Checkpoint(
        config=tiny_config,
        step=3,
        images_seen=6,
        seconds=12.5,
        skipped_steps=1,
        skipped_in_a_row=0,
        best_score=1.5,
        validations_since_best=1,
        start="nothing",
        git_commit="abc",
        weights={"w": torch.arange(3.0)},
        ema={"w": torch.arange(3.0) / 2},
        optimizer={"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
    )


def test_a_checkpoint_is_read_as_it_was_written(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.pt", checkpoint)
    read = load_checkpoint(tmp_path / "last.pt")
    assert read.config == checkpoint.config
    assert (read.step, read.best_score, read.start) == (3, 1.5, "nothing")
    assert torch.equal(read.weights["w"], checkpoint.weights["w"])
    assert torch.equal(read.ema["w"], checkpoint.ema["w"])


def test_a_full_disk_leaves_the_checkpoint_before_it(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, checkpoint)
    with (
        mock.patch("training.checkpoint.os.fsync", side_effect=OSError(28, "No space left")),
        pytest.raises(CheckpointError, match=r"No space left.*the checkpoint before it is intact"),
    ):
        save_checkpoint(path, replace(checkpoint, step=99))
    assert load_checkpoint(path).step == 3
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_missing_or_broken_checkpoint_is_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    with pytest.raises(CheckpointError, match="start the run without --resume"):
        load_checkpoint(path)
    save_checkpoint(path, checkpoint)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="no readable checkpoint"):
        load_checkpoint(path)
