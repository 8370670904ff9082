"""One call of ``train``: configuration, data, task and start put together and run."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from model_store.store import ModelStore
from training.checkpoint import LAST_NAME
from training.config import load_config
from training.data.datasets import FaceDataset
from training.errors import CheckpointError
from training.provenance import current_commit
from training.tasks.build import build_task, initialise_from
from training.trainer import Trainer, TrainResult


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What the command line says of a run.

    Attributes:
        config: TOML file.
        packs: Folder of face packs.
        runs: Folder of run folders.
        name: Name of the run's folder, if not the configuration's.
        overrides: ``section.key=value``, applied to the configuration.
        resume: Go on from the run's last checkpoint.
        init: Published version or safetensors file to start from.
        max_minutes: Stop with a checkpoint after so long.
        device: "auto" (CUDA when there is one), "cpu" or "cuda".
    """

    config: Path
    packs: Path
    runs: Path
    name: str | None
    overrides: tuple[str, ...]
    resume: bool
    init: str | None
    max_minutes: float | None
    device: str


def train(
    options: TrainOptions, *, store: ModelStore, notify: Callable[[str], None]
) -> TrainResult:
    """Run or resume a training; ``notify`` is told what the run starts from.

    Raises:
        TrainingError: what was asked for cannot be done; the message says why.
    """
    config = load_config(options.config, options.overrides)
    if options.name is not None:
        config = replace(config, name=options.name)
    if options.resume and options.init:
        raise CheckpointError("--resume and --init exclude each other: a resumed run has its start")
    folder = options.runs / config.name
    if not options.resume and (folder / LAST_NAME).exists():
        raise CheckpointError(
            f"{folder} holds a run; --resume goes on with it, --name makes another"
        )
    device = _choose_device(options.device)
    dataset = FaceDataset(config.data, root=options.packs)
    task = build_task(config, dataset=dataset, store=store, device=device)
    start = options.init or "nothing"
    if options.init is not None:
        new = initialise_from(task.network, options.init, store=store)
        notify(f"starting from {options.init}; {len(new)} tensors are new")
        start = Path(options.init).name if options.init.endswith(".safetensors") else options.init
    trainer = Trainer(
        config,
        task,
        dataset=dataset,
        folder=folder,
        start=start,
        git_commit=current_commit(),
    )
    if options.resume:
        trainer.resume()
    return trainer.run(max_minutes=options.max_minutes)


def _choose_device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise CheckpointError("device cuda was asked for, but PyTorch sees no CUDA device")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
