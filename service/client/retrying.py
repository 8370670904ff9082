"""When a failed call is tried again: not before the service says, never past the call's time."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from service.client.errors import CallTimeoutError, ClientError


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often, and with what pauses.

    Where the service names a time in Retry-After, the pause is that and up to a quarter more, so
    that callers that were refused together do not come back together. Else it doubles from the
    first, and a random part of it of at least a half is taken.

    Attributes:
        max_attempts: of one call, the first included; 1 never retries.
        first_pause_seconds: longest pause before the second attempt.
        max_pause_seconds: longest pause where the service names none.
        max_retry_after_seconds: a service that names a later time is not waited for.
    """

    max_attempts: int = 5
    first_pause_seconds: float = 0.5
    max_pause_seconds: float = 8
    max_retry_after_seconds: float = 60

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts is {self.max_attempts}; it must be at least 1")


class Attempts:
    """The attempts of one call, on the caller's clock."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        timeout_seconds: float,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._policy = policy
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._rng = rng
        self._deadline = clock() + timeout_seconds
        self._num_failed = 0

    def seconds_left(self) -> float:
        """Time of the call that is left; raises CallTimeoutError if none is."""
        left = self._deadline - self._clock()
        if left <= 0:
            raise self._timed_out()
        return left

    def pause_after(self, failure: ClientError) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            ClientError: the failure itself, where no further attempt is worth it.
            CallTimeoutError: from the failure, where the call's time would not last for one.
        """
        self._num_failed += 1
        if not failure.is_retryable or self._num_failed >= self._policy.max_attempts:
            raise failure
        named = failure.retry_after_seconds
        if named is None:
            pause = self._backoff() * self._rng.uniform(0.5, 1)
        elif named > self._policy.max_retry_after_seconds:
            raise failure
        else:
            pause = named * self._rng.uniform(1, 1.25)
        if self._clock() + pause >= self._deadline:
            raise self._timed_out() from failure
        return pause

    def _backoff(self) -> float:
        doubled = self._policy.first_pause_seconds * 2.0 ** (self._num_failed - 1)
        return min(doubled, self._policy.max_pause_seconds)

    def _timed_out(self) -> CallTimeoutError:
        return CallTimeoutError(
            f"the call did not succeed within {self._timeout_seconds:g} s, after "
            f"{self._num_failed} failed attempts; give it more time by `timeout`, or call later"
        )
