"""Admission: how much work may be inside at once, and when a refused caller should come back.

Stands in front of decoding and of the batcher's queue. Its capacity is below the queue's (see
`Settings.admission_capacity`), so a caller is refused here, cheaply, and never further inside.
Probes and metrics do not pass through it.
"""

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.errors import OverloadedError

# Weight of the newest batch in the running mean of seconds per unit: about the last ten count.
_NEWEST_WEIGHT = 0.2


class Admission:
    """Counts the cost of the work inside (an image costs 1) and refuses what would exceed it."""

    def __init__(
        self, capacity: int, *, rng: random.Random, on_change: Callable[[int], None]
    ) -> None:
        self._capacity = capacity
        self._rng = rng
        self._on_change = on_change
        self._admitted = 0
        self._seconds_per_unit = 0.0

    @contextmanager
    def admit(self, cost: int) -> Iterator[None]:
        """Let work of this cost in until the block ends.

        Raises:
            OverloadedError: it would exceed the capacity.
        """
        if self._admitted + cost > self._capacity:
            raise OverloadedError(
                f"{self._admitted} images are being worked on and {cost} more would exceed the "
                f"{self._capacity} that fit; come back after the time in Retry-After",
                retry_after_seconds=self.retry_after_seconds(),
            )
        self._change(cost)
        try:
            yield
        finally:
            self._change(-cost)

    def batch_finished(self, *, num_items: int, run_seconds: float) -> None:
        """Learn the rate from a batch that the device has run."""
        measured = run_seconds / num_items
        if self._seconds_per_unit == 0:
            self._seconds_per_unit = measured
        else:
            self._seconds_per_unit += _NEWEST_WEIGHT * (measured - self._seconds_per_unit)

    def retry_after_seconds(self) -> int:
        """Time in which the work inside is done, and up to as much again at random.

        The random part spreads the refused: all coming back at once would be refused again.
        """
        backlog_seconds = self._admitted * self._seconds_per_unit
        return max(1, math.ceil(backlog_seconds * (1 + self._rng.random())))

    def _change(self, cost: int) -> None:
        self._admitted += cost
        self._on_change(self._admitted)
