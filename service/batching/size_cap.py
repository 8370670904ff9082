"""How much of a batch fits the device's memory, learnt from what did not."""

import math
from collections.abc import Callable

# The memory that was missing may be free again, another process's for example. At this pace a
# device that is short of it for good costs its callers one failed attempt a minute.
_DOUBLES_AFTER_SECONDS = 60.0


class SizeCap:
    """A bound on a batch's cost for each key: halved by a failure, doubling as time passes."""

    def __init__(self, *, largest: int, clock: Callable[[], float]) -> None:
        self._largest = largest
        self._clock = clock
        self._lowered: dict[str, tuple[float, float]] = {}  # key -> cap, and when it was that

    @property
    def is_lowered(self) -> bool:
        """Whether a batch of any key may have to be smaller than the limits say."""
        return bool(self._lowered)

    def max_cost(self, key: str) -> float:
        """The cost that a batch may have now; infinite where nothing speaks against any."""
        if key not in self._lowered:
            return math.inf
        cap, lowered_at = self._lowered[key]
        doublings = (self._clock() - lowered_at) / _DOUBLES_AFTER_SECONDS
        grown = cap * math.exp2(min(doublings, 64.0))  # of more it would be an OverflowError
        if grown < self._largest:
            return grown
        del self._lowered[key]
        return math.inf

    def too_large(self, key: str, cost: int) -> None:
        """Learn that a batch of this cost did not fit."""
        self._lowered[key] = (min(cost / 2, self.max_cost(key)), self._clock())
