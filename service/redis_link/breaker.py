"""Whether Redis is to be asked at all, by how the last uses of it went.

The libraries for this (purgatory, pybreaker) let requests try out whether a service is back, all
of them at once, know no slow answers, and read the wall clock. Here requests never wait for a Redis
that is away: a probe of the owner's says that it answers, then one single use tries.
"""

from collections.abc import Callable
from enum import Enum

from redis.exceptions import ConnectionError as RedisConnectionError

# A failure weighs as much as five answers that are slow: many at once are late by no fault of
# Redis's where this process itself stood still for a moment.
_FAILURE_WEIGHT = 5
_OPENS_AT_WEIGHT = 15  # three failures, or fifteen slow answers, with no quick answer between

_PROBE_SECONDS = 1.0
# After trials that failed although the probe was answered the probe waits for longer: then what
# fails is what requests ask for, and each trial keeps one of them waiting.
_MOST_DOUBLINGS = 5


class RedisAwayError(RedisConnectionError):
    """Redis was not asked, as it did not answer before: nothing was sent."""


class BreakerState(Enum):
    """The values are what the time series shows."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class CircuitBreaker:
    """Closed: everybody may. Open: nobody may. Half open: one may, and its outcome decides.

    Every use has a number from `enter` and ends in one of `succeeded`, `was_slow`, `failed` and
    `withdrew`. What ends after the state has changed no longer counts.
    """

    def __init__(self, *, on_change: Callable[[BreakerState], None]) -> None:
        self._on_change = on_change
        self._state = BreakerState.CLOSED
        self._period = 0  # raised with every change of the state
        self._weight = 0
        self._is_trial_under_way = False
        self._num_failed_trials = 0

    @property
    def state(self) -> BreakerState:
        return self._state

    @property
    def seconds_until_probe(self) -> float:
        """How long an open breaker waits before Redis is probed."""
        return _PROBE_SECONDS * 2.0 ** min(self._num_failed_trials, _MOST_DOUBLINGS)

    def enter(self) -> int:
        """Ask to use Redis; the number is to be handed back with the outcome.

        Raises:
            RedisAwayError: it is not to be used now.
        """
        if self._state is BreakerState.OPEN or self._is_trial_under_way:
            raise RedisAwayError("Redis is not asked, as it did not answer before")
        self._is_trial_under_way = self._state is BreakerState.HALF_OPEN
        return self._period

    def succeeded(self, number: int) -> None:
        """Redis answered in good time, be it with an error of its own."""
        if number != self._period:
            return
        self._weight = 0
        if self._state is BreakerState.HALF_OPEN:
            self._num_failed_trials = 0
            self._change(BreakerState.CLOSED)

    def was_slow(self, number: int) -> None:
        """Redis answered, but so late that nobody should wait for it."""
        self._went_badly(number, weight=1)

    def failed(self, number: int) -> None:
        """Redis did not answer."""
        self._went_badly(number, weight=_FAILURE_WEIGHT)

    def withdrew(self, number: int) -> None:
        """Whoever asked has gone, or failed by itself: nothing is known of Redis."""
        if number == self._period:
            self._is_trial_under_way = False

    def probe_answered(self) -> None:
        """The owner's probe was answered in good time: one use may try."""
        if self._state is BreakerState.OPEN:
            self._change(BreakerState.HALF_OPEN)

    def _went_badly(self, number: int, *, weight: int) -> None:
        if number != self._period:
            return
        self._weight += weight
        if self._state is BreakerState.HALF_OPEN:
            self._num_failed_trials += 1
            self._change(BreakerState.OPEN)
        elif self._weight >= _OPENS_AT_WEIGHT:
            self._change(BreakerState.OPEN)

    def _change(self, state: BreakerState) -> None:
        self._state = state
        self._period += 1
        self._weight = 0
        self._is_trial_under_way = False
        self._on_change(state)
