import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from training.checkpoint import (
    CHECKPOINT_FORMAT,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from training.config import TrainConfig, config_document
from training.errors import CheckpointError

FULL = OSError(errno.ENOSPC, "No space left on device")
# For each line that it is sent: a process that writes checkpoints of rising steps until killed.
# Every tensor holds its step. Forked, as importing torch takes longer than everything else here.
WRITERS = """
import os, sys
from dataclasses import replace
from pathlib import Path
import torch
from training.checkpoint import load_checkpoint, save_checkpoint

def write_forever(path):
    first = load_checkpoint(path)
    for step in range(first.step + 1, 10**9):
        weights = {"w": torch.full((100_000,), float(step))}
        save_checkpoint(path, replace(first, step=step, weights=weights, ema=weights))
        if step == first.step + 1:
            print(os.getpid(), flush=True)

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        write_forever(Path(sys.argv[1]))
    _, status = os.waitpid(child, 0)
    print(os.WTERMSIG(status), flush=True)
"""
KILLS = 40


@pytest.fixture
def checkpoint(tiny_config: TrainConfig) -> Checkpoint:
    return Checkpoint(
        config=tiny_config,
        step=3,
        images_seen=6,
        seconds=12.5,
        best_score=1.5,
        validations_since_best=1,
        skipped_steps=1,
        skipped_in_a_row=0,
        start="nothing",
        git_commit="abc",
        weights={"w": torch.arange(3.0)},
        ema={"w": torch.arange(3.0) / 2},
        optimizer={"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
    )


def test_a_checkpoint_is_read_as_it_was_written(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.pt", checkpoint)
    read = load_checkpoint(tmp_path / "last.pt")
    tensors = {"weights", "ema", "optimizer"}
    values, expected = (
        {k: v for k, v in vars(c).items() if k not in tensors} for c in (read, checkpoint)
    )
    assert values == expected
    assert torch.equal(read.weights["w"], checkpoint.weights["w"])
    assert torch.equal(read.ema["w"], checkpoint.ema["w"])
    assert str(read.optimizer) == str(checkpoint.optimizer)


@pytest.mark.parametrize("stage", ["torch.save", "os.fsync", "Path.replace"])
def test_a_failure_at_any_stage_leaves_the_checkpoint_before_it(
    stage: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, checkpoint)
    message = r"No space left.*checkpoint before it is intact\. Free space"
    with (
        mock.patch(f"training.checkpoint.{stage}", side_effect=FULL),
        pytest.raises(CheckpointError, match=message),
    ):
        save_checkpoint(path, replace(checkpoint, step=99))
    assert load_checkpoint(path).step == 3
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]
    save_checkpoint(path, replace(checkpoint, step=100))
    assert load_checkpoint(path).step == 100


def test_file_and_folder_are_flushed_in_order(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    done: list[str] = []
    fsync, move = os.fsync, Path.replace

    def note_fsync(descriptor: int) -> None:
        done.append("flush " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def note_replace(source: Path, target: Path) -> Path:
        done.append("rename")
        return move(source, target)

    with (
        mock.patch("training.checkpoint.os.fsync", note_fsync),
        mock.patch("training.checkpoint.Path.replace", note_replace),
    ):
        save_checkpoint(path, checkpoint)
    assert done == ["flush last.partial", "rename", f"flush {tmp_path.name}"]


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Let the system refuse what goes beyond, as a full disk does."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("size_bytes", [0, 1, 10_000, 200_000, 390_000])
def test_a_disk_that_is_full_at_any_byte_is_reported_and_leaves_the_last_checkpoint(
    size_bytes: int, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, checkpoint)
    large = replace(checkpoint, step=4, weights={"w": torch.zeros(100_000)})
    with (
        files_of_at_most(size_bytes),
        pytest.raises(CheckpointError, match=r"cannot write .*last\.pt .*intact"),
    ):
        save_checkpoint(path, large)
    assert load_checkpoint(path).step == 3
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, checkpoint)
    partials = 0
    with subprocess.Popen(
        [sys.executable, "-c", WRITERS, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writers:
        assert writers.stdin is not None
        assert writers.stdout is not None
        for delay in np.random.default_rng(0).uniform(0, 0.02, KILLS):
            step = load_checkpoint(path).step
            print("write", file=writers.stdin, flush=True)
            writer = int(writers.stdout.readline())
            time.sleep(delay)  # where in a write the kill falls is what is being varied
            os.kill(writer, signal.SIGKILL)
            assert int(writers.stdout.readline()) == signal.SIGKILL
            partials += path.with_suffix(".partial").exists()
            left = load_checkpoint(path)
            assert left.step > step
            assert torch.equal(left.weights["w"], torch.full((100_000,), float(left.step)))
            assert torch.equal(left.ema["w"], left.weights["w"])
        writers.stdin.close()
    assert partials > 0  # some kills did fall into a write


def test_a_missing_or_broken_checkpoint_is_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    with pytest.raises(CheckpointError, match="start the run without --resume"):
        load_checkpoint(path)
    save_checkpoint(path, checkpoint)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match=r"no readable checkpoint.*best\.pt beside"):
        load_checkpoint(path)


def write_document(path: Path, checkpoint: Checkpoint, *, format_number: int) -> None:
    document = {**vars(checkpoint), "config": config_document(checkpoint.config)}
    document["format"] = format_number
    if format_number == 1:
        for name in ("seconds", "skipped_steps", "skipped_in_a_row"):
            del document[name]
    torch.save(document, path)


def test_an_earlier_format_is_read_and_known_as_such(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    write_document(tmp_path / "best.pt", checkpoint, format_number=1)
    read = load_checkpoint(tmp_path / "best.pt")
    assert (read.format, read.step, read.skipped_steps) == (1, 3, 0)


def test_a_later_format_is_refused_by_its_number(checkpoint: Checkpoint, tmp_path: Path) -> None:
    later = CHECKPOINT_FORMAT + 1
    write_document(tmp_path / "best.pt", checkpoint, format_number=later)
    with pytest.raises(CheckpointError, match=f"has format {later}; this program reads 1 and"):
        load_checkpoint(tmp_path / "best.pt")
