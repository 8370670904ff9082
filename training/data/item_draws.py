"""Random draws that belong to an item and its seed, not to its place in a batch."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

_MASK = (1 << 64) - 1
_DRAWS_PER_ITEM = 48  # of uniform numbers; the blind degradation takes 28


def item_seeds(seed: int, ids: Tensor) -> list[int]:
    """Mix a step's seed with the (N,) ids of its items into one 64-bit seed an item."""
    return [_mix(_mix(seed & _MASK) ^ (item & _MASK)) for item in ids.tolist()]


class ItemDraws:
    """Uniform and normal numbers for N items, each from its own seed.

    Uniform numbers are drawn on the CPU and are the same on every device; normal numbers are
    drawn where they are needed, so that a GPU's noise is another than a CPU's.

    Args:
        seeds: One an item.
        device: Where the numbers are used.
    """

    def __init__(self, seeds: Sequence[int], *, device: torch.device) -> None:
        self._seeds = seeds
        self._device = device
        generator = Generator()
        rows = [
            torch.rand(_DRAWS_PER_ITEM, generator=generator.manual_seed(seed)) for seed in seeds
        ]
        self._columns = iter(torch.stack(rows).to(device).unbind(1))
        self._fields = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(N,) numbers from [low, high)."""
        return low + (high - low) * next(self._columns)

    def happens(self, probability: float) -> Tensor:
        """(N,) booleans that are true with a probability."""
        return self.uniform() < probability

    def normal(self, *shape: int) -> Tensor:
        """(N, *shape) numbers from the standard normal distribution."""
        self._fields += 1
        generator = Generator(self._device)
        return torch.stack(
            [
                torch.randn(
                    shape,
                    generator=generator.manual_seed(_mix(seed + self._fields)),
                    device=self._device,
                )
                for seed in self._seeds
            ]
        )


def _mix(value: int) -> int:
    """Scramble 64 bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
