"""The random numbers of one batch, each a function of seed, step and a face's place in the batch.

No state runs along with the data order, so a resumed run sees the same faces with the same
augmentation as an unbroken one, and so do several processes that share each batch.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

# Keeps the streams of neighbouring seeds apart for any run shorter than this many steps.
_STEPS_PER_SEED = 1_000_003
_NUM_SEEDS = 2**62


def step_generator(*, seed: int, step: int) -> Generator:
    """Return the generator from which everything random of one training step is drawn."""
    return Generator().manual_seed(seed * _STEPS_PER_SEED + step)


@dataclass(frozen=True)
class BatchDraws:
    """Draws for the faces of one batch, or for the part of them that one process holds.

    Every draw is made for the whole batch, and the part at hand is kept: whoever shares a batch
    must make the same draws in the same order, whatever its own faces look like.

    Attributes:
        step: The training step that the batch is for.
        generator: Source of every draw, on the CPU.
        batch_size: Faces of the whole batch.
        rows: (n,) places in the whole batch of the faces at hand.
    """

    step: int
    generator: Generator
    batch_size: int
    rows: Tensor

    @classmethod
    def of_step(
        cls, *, seed: int, step: int, batch_size: int, rows: range | None = None
    ) -> "BatchDraws":
        """Draws of a training step for the faces ``rows`` of its batch, by default for all."""
        places = torch.tensor(range(batch_size) if rows is None else rows)
        return cls(step, step_generator(seed=seed, step=step), batch_size, places)

    def uniform(self, *shape: int) -> Tensor:
        """(n, *shape) from [0, 1), on the CPU."""
        return self._keep(torch.rand(self.batch_size, *shape, generator=self.generator))

    def normal(self, *shape: int, device: torch.device) -> Tensor:
        """(n, *shape) from the standard normal distribution, made on ``device``."""
        generator = self.generator
        if device.type != "cpu":  # noise is as large as the images: too much to carry over
            generator = Generator(device).manual_seed(self._draw_seed())
        drawn = torch.randn(self.batch_size, *shape, generator=generator, device=device)
        return self._keep(drawn)

    def per_face(self) -> list[Generator]:
        """A generator of its own for each of the n faces."""
        seeds = torch.randint(_NUM_SEEDS, (self.batch_size,), generator=self.generator)
        return [Generator().manual_seed(seed) for seed in self._keep(seeds).tolist()]

    def select(self, index: Tensor) -> "BatchDraws":
        """Draws for some of the n faces, from a stream of their own.

        What is drawn from the result leaves this stream alone, so a part may also be skipped.
        """
        generator = Generator().manual_seed(self._draw_seed())
        return BatchDraws(self.step, generator, self.batch_size, self.rows[index])

    def _draw_seed(self) -> int:
        return int(torch.randint(_NUM_SEEDS, (), generator=self.generator))

    def _keep(self, drawn: Tensor) -> Tensor:
        return drawn if len(self.rows) == self.batch_size else drawn[self.rows.to(drawn.device)]
