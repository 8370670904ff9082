"""The training loop: any task, any number of processes; stops cleanly and resumes there."""

import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from training.checkpoint import (
    BEST_NAME,
    CHECKPOINT_FORMAT,
    LAST_NAME,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from training.config import TrainConfig
from training.errors import CheckpointError
from training.image_grid import tile_faces
from training.loop.run_log import RunLog, open_log
from training.loop.skipping import SkipGuard
from training.loop.stepping import Stepper, learning_rate_at
from training.loop.stopping import STOP_REASONS, StopReason, stop_requests
from training.processes import Processes
from training.tasks.task import TrainingTask


@dataclass(frozen=True)
class TrainResult:
    """How a run ended."""

    reason: StopReason
    step: int
    best_score: float


class Trainer:
    """Trains a task's network and keeps its best weight average.

    The run's folder holds ``last.pt`` (for resuming), ``best.pt`` (for publishing) and what
    ``run_log`` describes. Only the main process writes there.
    """

    def __init__(
        self,
        config: TrainConfig,
        task: TrainingTask,
        *,
        processes: Processes,
        folder: Path,
        start: str,
        git_commit: str,
    ) -> None:
        self._config = config
        self._task = task
        self._processes = processes
        self._folder = folder
        self._start = start
        self._git_commit = git_commit
        self._stepper = Stepper(config, task, processes=processes)
        self._guard = SkipGuard(max_in_a_row=config.max_skipped_steps)
        self._step = 0
        self._best_score = -math.inf
        self._validations_since_best = 0
        self._seconds_before = 0.0
        self._started_at = time.monotonic()

    def resume(self) -> None:
        """Go on from the run folder's last checkpoint.

        Raises:
            CheckpointError: there is none, or another configuration or program made it.
        """
        path = self._folder / LAST_NAME
        checkpoint = load_checkpoint(path)
        if checkpoint.format != CHECKPOINT_FORMAT:
            raise CheckpointError(
                f"{path} has format {checkpoint.format}, this program goes on from "
                f"{CHECKPOINT_FORMAT}; start a new run with --init {path}, or publish this one"
            )
        if checkpoint.config != self._config:
            raise CheckpointError(
                f"{path} was made with another configuration; resume with the same one, or start "
                f"a new run with --init {path}"
            )
        self._stepper.restore(checkpoint)
        self._step = checkpoint.step
        self._best_score = checkpoint.best_score
        self._validations_since_best = checkpoint.validations_since_best
        self._guard.skipped = checkpoint.skipped_steps
        self._guard.skipped_in_a_row = checkpoint.skipped_in_a_row
        self._seconds_before = checkpoint.seconds
        self._start = checkpoint.start
        self._git_commit = checkpoint.git_commit

    def run(self, *, max_minutes: float | None = None) -> TrainResult:
        """Train until the schedule, the time, the patience or a signal ends the run.

        However it ends, the last step is checkpointed and the folder's best is up to date.

        Raises:
            DivergedError: too many steps in a row were not finite.
            CheckpointError: a checkpoint could not be written.
        """
        self._started_at = time.monotonic()
        with self._open_log() as log, stop_requests(max_minutes=max_minutes) as request:
            if self._step == 0:
                self._validate(log)
            reason = self._find_end()
            if reason is not None:
                return TrainResult(reason, self._step, self._best_score)
            while reason is None:
                self._take_step(log)
                reason = self._agree(self._find_end() or request.reason)
            self._checkpoint(LAST_NAME)
            if self._step % self._config.validate_every != 0:
                # Off the schedule, so the state to resume from is saved already.
                self._validate(log)
        return TrainResult(reason, self._step, self._best_score)

    def _take_step(self, log: RunLog | None) -> None:
        report = self._stepper.take(self._step)
        self._step += 1
        if log is not None:
            log.add_step(report)
        self._guard.check(report, checkpoint=self._folder / LAST_NAME)
        if self._step % self._config.validate_every == 0:
            self._validate(log)
        if self._step % self._config.checkpoint_every == 0:
            self._checkpoint(LAST_NAME)

    def _find_end(self) -> StopReason | None:
        """Why the run is over by itself; the same on every process."""
        if self._step >= self._config.max_steps:
            return "max_steps"
        if 0 < self._config.patience <= self._validations_since_best:
            return "patience"
        return None

    def _agree(self, reason: StopReason | None) -> StopReason | None:
        """One process's reason to stop is every process's."""
        own = STOP_REASONS.index(reason) if reason is not None else -1
        agreed = int(self._processes.maximum(own))
        return STOP_REASONS[agreed] if agreed >= 0 else None

    def _validate(self, log: RunLog | None) -> None:
        """Score the weight average; keep it when it is the best so far."""
        score = math.nan
        if log is not None:
            score = self._measure(log)
        score = self._processes.number_from_main(score)
        self._validations_since_best += 1
        if score > self._best_score:
            self._best_score = score
            self._validations_since_best = 0
            self._checkpoint(BEST_NAME)

    def _measure(self, log: RunLog) -> float:
        """Score the weight average on both slices and record the curve's line."""
        task, network = self._task, self._stepper.average.network
        scores = task.validate(network, "validation")
        train_scores = task.validate(network, "train")
        score = scores[task.score_name]
        line = {
            "step": self._step,
            "images_seen": self._images_seen,
            "minutes": round(self._seconds / 60, 3),
            "learning_rate": learning_rate_at(
                self._step, options=self._config.optimizer, max_steps=self._config.max_steps
            ),
            "skipped_steps": self._guard.skipped,
            **scores,
            **{f"train_{name}": value for name, value in train_scores.items()},
            "gap": train_scores[task.score_name] - score,
        }
        log.add_validation(line, score_name=task.score_name, best=max(score, self._best_score))
        log.add_faces(tile_faces(task.preview(network)), step=self._step)
        return score

    @property
    def _images_seen(self) -> int:
        return (self._step - self._guard.skipped) * self._config.batch_size

    @property
    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._started_at

    def _checkpoint(self, name: str) -> None:
        if not self._processes.is_main:
            return
        save_checkpoint(
            self._folder / name,
            Checkpoint(
                config=self._config,
                step=self._step,
                images_seen=self._images_seen,
                seconds=self._seconds,
                best_score=self._best_score,
                validations_since_best=self._validations_since_best,
                skipped_steps=self._guard.skipped,
                skipped_in_a_row=self._guard.skipped_in_a_row,
                start=self._start,
                git_commit=self._git_commit,
                weights=dict(self._task.network.state_dict()),
                ema=self._stepper.average.state_dict(),
                optimizer=self._stepper.optimizer.state_dict(),
            ),
        )

    def _open_log(self) -> AbstractContextManager[RunLog | None]:
        if not self._processes.is_main:
            return nullcontext()
        self._folder.mkdir(parents=True, exist_ok=True)
        return open_log(self._folder, step=self._step, max_steps=self._config.max_steps)
