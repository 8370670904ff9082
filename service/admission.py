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
# Further ahead nothing can be promised; nor may a flood of refusals send honest callers away for
# longer.
_MAX_RETRY_AFTER_SECONDS = 60


class Admission:
    """Counts the cost of the work inside (an image costs 1) and refuses what would exceed it.

    A refused caller is told a time at which there should be room for it: callers who are told to
    come back are booked one behind the other, at the measured rate and never more in a second than
    fit at once. Told the same time, they would all be refused again.
    """

    def __init__(
        self,
        capacity: int,
        *,
        rng: random.Random,
        clock: Callable[[], float],
        on_change: Callable[[int], None],
    ) -> None:
        self._capacity = capacity
        self._rng = rng
        self._clock = clock
        self._on_change = on_change
        self._admitted = 0
        self._seconds_per_unit = 0.0
        self._booked_until = -math.inf

    @property
    def num_admitted(self) -> int:
        """The cost of the work that is inside."""
        return self._admitted

    @contextmanager
    def admit(self, cost: int) -> Iterator[None]:
        """Let work of this cost in until the block ends.

        Raises:
            OverloadedError: it would exceed the capacity.
        """
        self.check_room(cost)
        self._change(cost)
        try:
            yield
        finally:
            self._change(-cost)

    def check_room(self, cost: int = 1) -> None:
        """Refuse work of this cost if it would not be let in now.

        Raises:
            OverloadedError: it would exceed the capacity.
        """
        if self._admitted + cost > self._capacity:
            raise OverloadedError(
                f"{self._admitted} images are being worked on and {cost} more would exceed the "
                f"{self._capacity} that fit; come back after the time in Retry-After",
                retry_after_seconds=self._book(cost),
            )

    def batch_finished(self, *, num_items: int, run_seconds: float) -> None:
        """Learn the rate from a batch that the device has run."""
        measured = run_seconds / num_items
        if self._seconds_per_unit == 0:
            self._seconds_per_unit = measured
        else:
            self._seconds_per_unit += _NEWEST_WEIGHT * (measured - self._seconds_per_unit)

    def _book(self, cost: int) -> int:
        """Seconds until there should be room for this cost, behind all who were told so before.

        A part of a second at random keeps those who were refused together from returning together.
        """
        now = self._clock()
        backlog_is_done = now + self._admitted * self._seconds_per_unit
        # Whole seconds are all that Retry-After can say, so a second's bookings may come at once.
        seconds_per_booking = max(self._seconds_per_unit, 1 / self._capacity)
        self._booked_until = min(
            max(self._booked_until, backlog_is_done) + cost * seconds_per_booking,
            now + _MAX_RETRY_AFTER_SECONDS,
        )
        seconds = self._booked_until - now + self._rng.random()
        return min(max(1, math.ceil(seconds)), _MAX_RETRY_AFTER_SECONDS)

    def _change(self, cost: int) -> None:
        self._admitted += cost
        self._on_change(self._admitted)
