"""One training step: draw, loss, gradients, optimizer, weight average; undone when not finite."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from training.batch_statistics import KeptBuffers, share_batch_statistics
from training.checkpoint import Checkpoint
from training.config import OptimizerConfig, TrainConfig
from training.data.draws import BatchDraws
from training.errors import CheckpointError
from training.loop.sharpness import climbed
from training.loop.weight_average import WeightAverage
from training.losses.terms import LossTerms
from training.processes import Processes
from training.tasks.task import TrainingTask

# Dropout draws from torch's global generator; its seeds must not coincide with the data's, nor
# one process's with another's.
_DROPOUT_SEED_OFFSET = 2**40


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What one step did, the same on every process.

    Attributes:
        step: Its number, from 1.
        loss: What was minimised; mean over the whole batch, as the terms.
        terms: Named parts of the loss.
        gradient_norm: Before clipping.
        learning_rate: The schedule's, before a group's own factor.
        is_skipped: Loss or gradients were not finite; nothing was learnt.
    """

    step: int
    loss: float
    terms: Mapping[str, float]
    gradient_norm: float
    learning_rate: float
    is_skipped: bool


class Stepper:
    """Takes the steps of a run.

    Attributes:
        average: The weight average.
        optimizer: Adam over the task's parameter groups.
    """

    def __init__(
        self,
        config: TrainConfig,
        task: TrainingTask,
        *,
        processes: Processes,
    ) -> None:
        self._config = config
        self._task = task
        self._processes = processes
        self._share = processes.share_of(config.batch_size)
        if processes.count > 1:
            share_batch_statistics(task.network)
        processes.copy_from_main(task.network.state_dict().values())
        groups = task.parameter_groups()
        options = config.optimizer
        self.optimizer = torch.optim.AdamW(
            [{"params": list(group.parameters), "rate": group.rate} for group in groups],
            lr=options.learning_rate,
            betas=options.betas,
            weight_decay=options.weight_decay,
        )
        self._parameters = [p for group in groups for p in group.parameters]
        self._kept_buffers = KeptBuffers(task.network)
        self._seen_buffers = KeptBuffers(task.network)
        self.average = WeightAverage(task.network, decay=options.ema_decay)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over the state of an earlier run of the same configuration.

        Raises:
            CheckpointError: it holds the state of another network.
        """
        try:
            self._task.network.load_state_dict(checkpoint.weights)
            self.average.load_state_dict(checkpoint.ema)
            self.optimizer.load_state_dict(checkpoint.optimizer)
        except (RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())  # torch's goes over several lines
            raise CheckpointError(
                f"the checkpoint holds another architecture than its configuration builds today "
                f"({reason}); go on with the program that wrote it, or start a new run"
            ) from error

    def take(self, step: int) -> StepReport:
        """Take step number ``step`` (from 0); its randomness follows from that and the seed."""
        config = self._config
        rate = learning_rate_at(step, options=config.optimizer, max_steps=config.max_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        self._kept_buffers.keep()
        loss = self._compute_gradients(step)
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, config.optimizer.max_gradient_norm)
        total, gradient_norm, *terms = self._gather_values(loss, norm)
        is_skipped = not (math.isfinite(total) and math.isfinite(gradient_norm))
        if is_skipped:
            self._kept_buffers.restore()
        else:
            self.optimizer.step()
            self.average.update(step=step + 1)
        return StepReport(
            step=step + 1,
            loss=total,
            terms=dict(zip(loss.terms, terms, strict=True)),
            gradient_norm=gradient_norm,
            learning_rate=rate,
            is_skipped=is_skipped,
        )

    def _compute_gradients(self, step: int) -> LossTerms:
        """Return the loss at the weights as they are; the gradients are those to step by."""
        loss = self._differentiate(step)
        radius = self._config.optimizer.sam_radius
        if radius > 0:
            # Batch statistics of weights that nobody keeps are not to be tracked.
            self._seen_buffers.keep()
            with climbed(self._parameters, radius=radius):
                self._differentiate(step)
            self._seen_buffers.restore()
        return loss

    def _differentiate(self, step: int) -> LossTerms:
        """Draw a step's faces and compute the gradients of their loss, over all processes."""
        config, network = self._config, self._task.network
        draws = BatchDraws.of_step(
            seed=config.seed, step=step, batch_size=config.batch_size, rows=self._share
        )
        dropout_seed = draws.generator.initial_seed() + _DROPOUT_SEED_OFFSET
        torch.manual_seed(dropout_seed * self._processes.count + self._processes.index)
        network.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._task.compute_loss(draws)
        loss.total.backward()
        self._processes.average_gradients(self._parameters)
        return loss

    def _gather_values(self, loss: LossTerms, norm: Tensor) -> list[float]:
        """Total, gradient norm and terms, carried to the CPU together."""
        values = [loss.total.detach(), norm, *loss.terms.values()]
        stacked = torch.stack([value.float() for value in values])
        gathered: list[float] = self._processes.mean(stacked).tolist()
        return gathered


def learning_rate_at(step: int, *, options: OptimizerConfig, max_steps: int) -> float:
    """Linear warm-up, then cosine from the peak to the final rate at ``max_steps``."""
    if step < options.warmup_steps:
        return options.learning_rate * (step + 1) / options.warmup_steps
    progress = (step - options.warmup_steps) / max(1, max_steps - options.warmup_steps)
    span = options.learning_rate - options.final_learning_rate
    return options.final_learning_rate + span * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
