"""Trainings of tiny networks on the CPU, as the command line would start them."""

from pathlib import Path

import torch

from model_store.store import ModelStore
from training.config import TrainConfig
from training.loop.trainer import Trainer, TrainResult
from training.processes import open_processes
from training.tasks.build import build_task, open_dataset
from training.tasks.task import TrainingTask

CPU = torch.device("cpu")


def make_trainer(
    config: TrainConfig,
    *,
    packs: Path,
    runs: Path,
    store: ModelStore | None = None,
    task: TrainingTask | None = None,
) -> Trainer:
    """A trainer of one process, of the configuration's task or of another."""
    dataset = open_dataset(config, root=packs)
    if task is None:
        task = build_task(config, dataset=dataset, store=store or ModelStore(runs), device=CPU)
    with open_processes("cpu") as alone:
        return Trainer(
            config,
            task,
            processes=alone,
            folder=runs / config.name,
            start="nothing",
            git_commit="abc",
        )


def run(
    config: TrainConfig, *, packs: Path, runs: Path, store: ModelStore | None = None
) -> TrainResult:
    """Run a configuration to its end; its folder is ``runs / config.name``."""
    return make_trainer(config, packs=packs, runs=runs, store=store).run()
