"""One call of ``train``: configuration, data, task and start put together and run."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from model_store.store import ModelStore
from training.checkpoint import LAST_NAME
from training.config import TrainConfig, load_config
from training.errors import CheckpointError
from training.loop.trainer import Trainer, TrainResult
from training.precision import resolve_precision
from training.processes import DeviceChoice, Processes, open_processes
from training.provenance import current_commit
from training.tasks.build import build_task, open_dataset
from training.tasks.start import initialise_from


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
        feature_weights: Folder with the weights of the loss's feature networks; None takes the
            environment's.
    """

    config: Path
    packs: Path
    runs: Path
    name: str | None
    overrides: tuple[str, ...]
    resume: bool
    init: str | None
    max_minutes: float | None
    device: DeviceChoice
    feature_weights: Path | None = None


def train(
    options: TrainOptions, *, store: ModelStore, notify: Callable[[str], None]
) -> TrainResult:
    """Run or resume a training; ``notify`` is told how it starts and ends.

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
    with open_processes(options.device) as processes:
        say = notify if processes.is_main else _say_nothing
        trainer = _build_trainer(
            options, config, folder=folder, processes=processes, store=store, notify=say
        )
        result = trainer.run(max_minutes=options.max_minutes)
        say(f"stopped by {result.reason} at step {result.step}, best score {result.best_score:.4f}")
        return result


def _build_trainer(
    options: TrainOptions,
    config: TrainConfig,
    *,
    folder: Path,
    processes: Processes,
    store: ModelStore,
    notify: Callable[[str], None],
) -> Trainer:
    device = processes.device
    dataset = open_dataset(config, root=options.packs, device=device)
    task = build_task(
        config,
        dataset=dataset,
        store=store,
        device=device,
        feature_weights=options.feature_weights,
    )
    start = options.init or "nothing"
    if options.init is not None:
        new = initialise_from(task.network, options.init, store=store)
        notify(f"starting from {options.init}; {describe_new(new)}")
        start = name_start(options.init)
    trainer = Trainer(
        config,
        task,
        processes=processes,
        folder=folder,
        start=start,
        git_commit=current_commit(),
    )
    if options.resume:
        trainer.resume()
    precision = resolve_precision(config.precision, device)
    notify(f"{processes.count} process(es) on {device.type}, forward passes in {precision}")
    return trainer


def name_start(init: str) -> str:
    """How a checkpoint and a manifest name what a run started from: no folder of this machine."""
    path = Path(init)
    if path.suffix == ".pt":  # every run's file has the same name; its folder says which run
        return f"{path.parent.name}/{path.name}"
    return path.name if path.suffix else init


def describe_new(names: list[str]) -> str:
    """Say which tensors of a network a start did not have, by the parts they belong to."""
    if not names:
        return "it has every tensor of the network"
    parts = Counter(".".join(name.split(".")[:2]) for name in names)
    listed = ", ".join(f"{part} ({count})" for part, count in parts.items())
    return f"{len(names)} tensors are new: {listed}"


def _say_nothing(_message: str) -> None:
    """What processes other than the main one say."""
