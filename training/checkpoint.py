"""Checkpoints: the private state of a run. Written so that a kill at any byte leaves a good one.

One file is enough: the old one is replaced only when the new one is complete on the disk, and
``best.pt`` is a whole checkpoint besides.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training.config import TrainConfig, config_document, parse_config
from training.errors import CheckpointError

LAST_NAME = "last.pt"
BEST_NAME = "best.pt"
# 2: data order and augmentation are drawn otherwise; counts of skipped steps and of seconds.
CHECKPOINT_FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Everything from which a run goes on as if it had not stopped.

    Randomness needs no state: it follows from the configuration's seed and the step.

    Attributes:
        step: Steps that were taken, skipped ones too.
        images_seen: Faces that were learnt from, those of earlier runs not counted.
        seconds: Time that the run took so far.
        best_score: Best validation score so far; -inf before the first.
        validations_since_best: For early stopping.
        skipped_steps: Steps whose loss or gradients were not finite.
        skipped_in_a_row: The last of them without a good one since.
        start: What the weights started from: "nothing", "name@version", a file's name or
            "run/best.pt".
        git_commit: The code that the run was started with.
        format: Of the file that it was read from.
        share_of_run: How far ``ema`` is on the way from the start to the run's own weight average:
            1 unless the two were blended.
    """

    config: TrainConfig
    step: int
    images_seen: int
    seconds: float
    best_score: float
    validations_since_best: int
    skipped_steps: int
    skipped_in_a_row: int
    start: str
    git_commit: str
    weights: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimizer: dict[str, object]
    format: int = CHECKPOINT_FORMAT
    share_of_run: float = 1.0


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint beside the old one, flush it to the disk, and only then replace it.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; the old one is intact.
    """
    document = {**vars(checkpoint), "config": config_document(checkpoint.config)}
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            torch.save(document, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _flush_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch reports a short write as RuntimeError
        partial.unlink(missing_ok=True)
        raise CheckpointError(
            f"cannot write {path} ({error}); the checkpoint before it is intact. Free space or "
            "make the folder writable, then go on with --resume"
        ) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, also one of an earlier format (which a run cannot go on from).

    Raises:
        CheckpointError: there is none, or the file is not a checkpoint of this program.
        ConfigError: its configuration is not understood any more.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}; start the run without --resume")
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
        found = document["format"]
        if found not in (1, CHECKPOINT_FORMAT):
            raise CheckpointError(
                f"{path} has format {found}; this program reads 1 and {CHECKPOINT_FORMAT}"
            )
        if found == 1:
            document |= {"seconds": 0.0, "skipped_steps": 0, "skipped_in_a_row": 0}
        document["config"] = parse_config(document["config"])
        return Checkpoint(**document)
    except (OSError, RuntimeError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise CheckpointError(
            f"{path} is no readable checkpoint ({error}); {BEST_NAME} beside {LAST_NAME} is a "
            "whole checkpoint too: copied over it, the run goes on from there"
        ) from error


def _flush_folder(folder: Path) -> None:
    """Bring a rename to the disk; until then a power cut may undo it, which leaves the old file."""
    if os.name != "posix":  # other systems cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
