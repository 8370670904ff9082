"""Whether the device still answers, judged by how long its batches have taken before."""

import math
from collections.abc import Callable
from enum import Enum

# A batch that takes twice as long as any before it is taken for hung.
_STALLED_OVER_LONGEST = 2.0
# What hangs for this many times as long will not come back by itself.
_LOST_OVER_STALLED = 3.0


class DeviceState(Enum):
    """What the watchdog makes of the device."""

    ANSWERS = "answers"
    STALLED = "stalled"
    LOST = "lost"


class Watchdog:
    """Compares the running batch with the longest that came back."""

    def __init__(self, *, stall_seconds: float, clock: Callable[[], float]) -> None:
        self._stall_seconds = stall_seconds
        self._clock = clock
        self._longest_seconds = 0.0
        self._counts_from = -math.inf

    @property
    def stalled_after_seconds(self) -> float:
        """How long a batch may run: never less than `stall_seconds`, as first batches are slow."""
        return max(self._stall_seconds, _STALLED_OVER_LONGEST * self._longest_seconds)

    @property
    def lost_after_seconds(self) -> float:
        return _LOST_OVER_STALLED * self.stalled_after_seconds

    def batch_finished(self, run_seconds: float) -> None:
        """Learn from a batch that came back."""
        self._longest_seconds = max(self._longest_seconds, run_seconds)

    def process_paused(self) -> None:
        """Count no time before now: the whole process stood still, a frozen container for one."""
        self._counts_from = self._clock()

    def judge(self, busy_since: float | None) -> DeviceState:
        """Judge by when the device began what it is busy with; None: it has nothing to do."""
        if busy_since is None:
            return DeviceState.ANSWERS
        busy_seconds = self._clock() - max(busy_since, self._counts_from)
        if busy_seconds <= self.stalled_after_seconds:
            return DeviceState.ANSWERS
        if busy_seconds <= self.lost_after_seconds:
            return DeviceState.STALLED
        return DeviceState.LOST
