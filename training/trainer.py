"""The training loop: one process, any task, stops cleanly and resumes where it stopped."""

import json
import math
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from training.checkpoint import BEST_NAME, LAST_NAME, Checkpoint, load_checkpoint, save_checkpoint
from training.config import OptimizerConfig, TrainConfig
from training.data.datasets import FaceDataset
from training.data.draws import BatchDraws
from training.errors import CheckpointError, DivergedError
from training.tasks.task import TrainingTask
from training.weight_average import WeightAverage

StopReason = Literal["max_steps", "max_minutes", "patience", "interrupted"]
# Dropout draws from torch's global generator; its seeds must not coincide with the data's.
_DROPOUT_SEED_OFFSET = 2**40


@dataclass(frozen=True)
class TrainResult:
    """How a run ended."""

    reason: StopReason
    step: int
    best_score: float


class Trainer:
    """Trains a task's network and keeps its best weight average.

    The run's folder holds ``last.pt`` (for resuming), ``best.pt`` (for publishing),
    ``curve.jsonl`` (a line a validation) and TensorBoard events.
    """

    def __init__(
        self,
        config: TrainConfig,
        task: TrainingTask,
        *,
        dataset: FaceDataset,
        folder: Path,
        start: str,
        git_commit: str,
    ) -> None:
        self._config = config
        self._task = task
        self._dataset = dataset
        self._folder = folder
        self._start = start
        self._git_commit = git_commit
        options = config.optimizer
        self._optimizer = torch.optim.AdamW(
            [
                {"params": list(group.parameters), "rate": group.rate}
                for group in task.parameter_groups()
            ],
            lr=options.learning_rate,
            betas=options.betas,
            weight_decay=options.weight_decay,
        )
        self._average = WeightAverage(task.network, decay=options.ema_decay)
        self._step = 0
        self._best_score = -math.inf
        self._validations_since_best = 0
        self._skipped_in_a_row = 0
        self._skipped_steps = 0
        self._interrupted = False

    def resume(self) -> None:
        """Go on from the run folder's last checkpoint.

        Raises:
            CheckpointError: there is none, or it was made with another configuration.
        """
        checkpoint = load_checkpoint(self._folder / LAST_NAME)
        if checkpoint.config != self._config:
            raise CheckpointError(
                f"{self._folder / LAST_NAME} was made with another configuration; resume with "
                "the same one, or start a new run with --init"
            )
        self._task.network.load_state_dict(checkpoint.weights)
        self._average.load_state_dict(checkpoint.ema)
        self._optimizer.load_state_dict(checkpoint.optimizer)
        self._step = checkpoint.step
        self._best_score = checkpoint.best_score
        self._validations_since_best = checkpoint.validations_since_best
        self._start = checkpoint.start
        self._git_commit = checkpoint.git_commit

    def run(self, *, max_minutes: float | None = None) -> TrainResult:
        """Train until the schedule, the time, the patience or a signal ends the run.

        However it ends, the last step is checkpointed and the folder's best is up to date.

        Raises:
            DivergedError: too many losses in a row were not finite.
            CheckpointError: a checkpoint could not be written.
        """
        deadline = math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._config
        with (
            SummaryWriter(str(self._folder)) as writer,
            self._stopping_on_signals(),
            tqdm(total=config.max_steps, initial=self._step, unit="step") as bar,
        ):
            if self._step == 0:
                self._validate(writer)
            reason: StopReason = "max_steps"
            while self._step < config.max_steps:
                terms = self._take_step()
                bar.update()
                for name, value in terms.items():
                    writer.add_scalar(f"train/{name}", value, self._step)
                if self._step % config.validate_every == 0:
                    self._validate(writer)
                    bar.set_postfix({self._task.score_name: f"{self._best_score:.4f}"})
                if self._step % config.checkpoint_every == 0:
                    self._checkpoint(LAST_NAME)
                if 0 < config.patience <= self._validations_since_best:
                    reason = "patience"
                    break
                if self._interrupted or time.monotonic() >= deadline:
                    reason = "interrupted" if self._interrupted else "max_minutes"
                    break
            if self._step % config.validate_every != 0:
                self._validate(writer)
            self._checkpoint(LAST_NAME)
        return TrainResult(reason, self._step, self._best_score)

    def _take_step(self) -> Mapping[str, float]:
        """Take one step; its randomness is a function of the seed and the step's number alone."""
        config, network = self._config, self._task.network
        draws = BatchDraws.of_step(seed=config.seed, step=self._step, batch_size=config.batch_size)
        torch.manual_seed(_DROPOUT_SEED_OFFSET + draws.generator.initial_seed())
        rate = learning_rate_at(self._step, options=config.optimizer, max_steps=config.max_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        network.train()
        loss = self._task.compute_loss(self._dataset.train_batch(draws), draws=draws)
        self._optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(
            network.parameters(), config.optimizer.max_gradient_norm
        )
        self._step += 1
        if not math.isfinite(float(loss.total.detach())) or not math.isfinite(float(norm)):
            return self._skip_step()
        self._skipped_in_a_row = 0
        self._optimizer.step()
        self._average.update(network, step=self._step)
        named = {name: float(value) for name, value in loss.terms.items()}
        return {**named, "gradient_norm": float(norm), "learning_rate": rate}

    def _skip_step(self) -> Mapping[str, float]:
        self._skipped_in_a_row += 1
        self._skipped_steps += 1
        if self._skipped_in_a_row >= self._config.max_skipped_steps:
            raise DivergedError(
                f"the loss was not finite for {self._skipped_in_a_row} steps up to step "
                f"{self._step}; {self._folder / LAST_NAME} is from before. Lower the learning "
                'rate or use precision = "float32"'
            )
        return {"skipped_steps": float(self._skipped_steps)}

    def _validate(self, writer: SummaryWriter) -> None:
        """Score the weight average; keep it when it is the best so far."""
        scores = self._task.validate(self._average.network)
        for name, value in scores.items():
            writer.add_scalar(f"validation/{name}", value, self._step)
        line = {"step": self._step, "images_seen": self._images_seen, "time": time.time(), **scores}
        with (self._folder / "curve.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._validations_since_best += 1
        if scores[self._task.score_name] > self._best_score:
            self._best_score = scores[self._task.score_name]
            self._validations_since_best = 0
            self._checkpoint(BEST_NAME)

    @property
    def _images_seen(self) -> int:
        return self._step * self._config.batch_size

    def _checkpoint(self, name: str) -> None:
        save_checkpoint(
            self._folder / name,
            Checkpoint(
                config=self._config,
                step=self._step,
                images_seen=self._images_seen,
                best_score=self._best_score,
                validations_since_best=self._validations_since_best,
                start=self._start,
                git_commit=self._git_commit,
                weights=dict(self._task.network.state_dict()),
                ema=self._average.state_dict(),
                optimizer=self._optimizer.state_dict(),
            ),
        )

    @contextmanager
    def _stopping_on_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the run after the step in hand."""

        def stop(_signal: int, _frame: FrameType | None) -> None:
            self._interrupted = True

        previous = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def learning_rate_at(step: int, *, options: OptimizerConfig, max_steps: int) -> float:
    """Linear warm-up, then cosine from the peak to the final rate at ``max_steps``."""
    if step < options.warmup_steps:
        return options.learning_rate * (step + 1) / options.warmup_steps
    progress = (step - options.warmup_steps) / max(1, max_steps - options.warmup_steps)
    span = options.learning_rate - options.final_learning_rate
    return options.final_learning_rate + span * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
