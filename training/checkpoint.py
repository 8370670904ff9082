"""Checkpoints: the private state of a run. Written so that a kill at any byte leaves a good one."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training.config import TrainConfig, config_document, parse_config
from training.errors import CheckpointError

LAST_NAME = "last.pt"
BEST_NAME = "best.pt"
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Everything from which a run goes on as if it had not stopped.

    Attributes:
        step: Steps that were taken.
        images_seen: Faces that were learnt from, those of earlier runs not counted.
        best_score: Best validation score so far; -inf before the first.
        validations_since_best: For early stopping.
        start: What the weights started from: "nothing", "name@version" or a file's name.
        git_commit: The code that the run was started with.
    """

    config: TrainConfig
    step: int
    images_seen: int
    best_score: float
    validations_since_best: int
    start: str
    git_commit: str
    weights: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimizer: dict[str, object]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint beside the old one, flush it to the disk, and only then replace it.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; the old one is intact.
    """
    document = {"format": _FORMAT, **vars(checkpoint)}
    document["config"] = config_document(checkpoint.config)
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            torch.save(document, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch reports a short write as RuntimeError
        partial.unlink(missing_ok=True)
        raise CheckpointError(
            f"cannot write {path} ({error}); the checkpoint before it is intact"
        ) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: there is none, or the file is not a checkpoint of this program.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}; start the run without --resume")
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
        if document.pop("format") != _FORMAT:
            raise CheckpointError(f"{path} was written by another version of this program")
        document["config"] = parse_config(document["config"])
        return Checkpoint(**document)
    except (OSError, RuntimeError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise CheckpointError(f"{path} is no readable checkpoint ({error})") from error
