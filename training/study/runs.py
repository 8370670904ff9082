"""Training what a study still lacks. A study that was stopped goes on where it was."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from model_store.store import ModelStore
from training.checkpoint import BEST_NAME, LAST_NAME, load_checkpoint
from training.config import load_config
from training.errors import TrainingError
from training.processes import DeviceChoice
from training.study.plan import Study, StudyRow
from training.train import TrainOptions, train

# Says that a run came to its end, which its checkpoint alone does not: the time may have been up.
FINISHED_NAME = "finished.json"

Notify = Callable[[str], None]


def train_missing(
    study: Study,
    *,
    packs: Path,
    runs: Path,
    store: ModelStore,
    device: DeviceChoice,
    feature_weights: Path | None,
    notify: Notify,
) -> None:
    """Train every row that has no finished run, in order.

    Raises:
        TrainingError: a row cannot be trained, was trained by another configuration, or was
            stopped by a signal.
    """
    trained = [row for row in study.rows if row.config is not None]
    for number, row in enumerate(trained, start=1):
        folder = runs / row.run_name
        if (folder / FINISHED_NAME).is_file():
            continue
        notify(f"[{number}/{len(trained)}] training {row.label} at x{row.scale}")
        assert row.config is not None
        result = train(
            TrainOptions(
                config=row.config,
                packs=packs,
                runs=runs,
                name=row.run_name,
                overrides=row.overrides,
                resume=(folder / LAST_NAME).is_file(),
                init=None if (folder / LAST_NAME).is_file() else _start(row, runs),
                max_minutes=row.max_minutes,
                device=device,
                feature_weights=feature_weights,
            ),
            store=store,
            notify=notify,
        )
        if result.reason == "interrupted":
            raise TrainingError("the study was stopped; give the same command to go on with it")
        ended = {"reason": result.reason, "step": result.step}
        (folder / FINISHED_NAME).write_text(json.dumps(ended) + "\n", encoding="utf-8")


def check_runs(rows: Sequence[StudyRow], *, runs: Path) -> None:
    """Make sure that every row that is trained has its run, by the configuration of the study.

    Raises:
        TrainingError: runs are missing or made by another configuration; all of them are listed.
    """
    missing = [
        r.run_name for r in rows if r.config and not (runs / r.run_name / r.weights).is_file()
    ]
    if missing:
        raise TrainingError(
            f"{runs} lacks {', '.join(missing)}; train what is missing with --train"
        )
    for row in rows:
        if row.config is None:
            continue
        expected = replace(load_config(row.config, row.overrides), name=row.run_name)
        if load_checkpoint(runs / row.run_name / row.weights).config != expected:
            raise TrainingError(
                f"{runs / row.run_name} was trained by another configuration than the study's; "
                "remove it and train it again with --train, or name another folder with --runs"
            )


def _start(row: StudyRow, runs: Path) -> str | None:
    if row.is_init_row and row.init is not None:
        return str(runs / row.init / BEST_NAME)
    return row.init
