"""Requests a minute of each caller, counted in memory, or in Redis for all replicas together.

A window of a minute begins with a caller's first request, so that Retry-After is exact. Redis may
go at any time: then each process counts for itself, and nobody waits for one that is known to be
away, or to refuse to count.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from service.errors import RateLimitedError
from service.redis_link import RedisLink

logger = logging.getLogger(__name__)

_KEY_PREFIX = "affectsr:limits:1"

# A Redis that is full, or holds something else, is asked again after this time and not by every
# request: an answer that is an error costs as much as one that counts.
_REFUSED_SECONDS = 1.0

# Redis tells the rest of a window in seconds, rounded: it may be half a second longer.
_ROUNDING_SECONDS = 0.5


class RequestLimits:
    """Counts requests and refuses those over a caller's limit."""

    def __init__(self, *, clock: Callable[[], float], link: RedisLink | None = None) -> None:
        """Count in Redis if there is one, else in memory.

        Args:
            clock: seconds, monotonic.
            link: to the Redis that is shared with the other replicas.
        """
        self._clock = clock
        self._link = link
        self._counts_alone = False
        self._asks_again_at = -math.inf
        self._own = FixedWindowRateLimiter(_MemoryWindows(clock))
        self._shared = FixedWindowRateLimiter(_redis_windows(link.texts)) if link else None

    async def count(self, name: str, *, per_minute: int) -> None:
        """Count a request of a caller.

        Raises:
            RateLimitedError: it is one more than the limit.
        """
        item = RateLimitItemPerMinute(per_minute)
        wait_seconds = await self._wait_in_redis(item, name)
        if wait_seconds is None:
            wait_seconds = await _wait(self._own, item, name, now=self._clock)
        if wait_seconds > 0:
            raise RateLimitedError(
                f"the API key has had its {per_minute} requests of this minute; come back after "
                "the time in Retry-After",
                retry_after_seconds=math.ceil(wait_seconds),
            )

    async def _wait_in_redis(self, item: RateLimitItem, name: str) -> float | None:
        """As `_wait`; None where Redis does not count."""
        if self._link is None or self._shared is None or self._clock() < self._asks_again_at:
            return None
        try:
            async with self._link.attempt(seconds=self._link.timeout_seconds):
                wait_seconds = await _wait(self._shared, item, name, now=time.time)
        except (RedisError, OSError) as error:
            if isinstance(error, ResponseError):
                self._asks_again_at = self._clock() + _REFUSED_SECONDS
            if not self._counts_alone:
                self._counts_alone = True
                logger.warning(
                    "limits of API keys are counted by this process alone, "
                    "Redis cannot be used (%s)",
                    type(error).__name__,
                )
            return None
        if self._counts_alone:
            self._counts_alone = False
            logger.info("limits of API keys are counted in Redis again")
        return wait_seconds and wait_seconds + _ROUNDING_SECONDS


async def _wait(
    limiter: FixedWindowRateLimiter, item: RateLimitItem, name: str, *, now: Callable[[], float]
) -> float:
    """Count a request; seconds until one is allowed again, 0 where this one is.

    Args:
        limiter: whose windows they are.
        item: the limit.
        name: whose request it is.
        now: the clock that the windows' ends are told by.
    """
    if await limiter.hit(item, name):
        return 0.0
    stats = await limiter.get_window_stats(item, name)
    return max(stats.reset_time - now(), 0.001)


def _redis_windows(redis: Redis) -> Storage:
    return RedisStorage(
        "async+redis://",
        implementation="redispy",
        key_prefix=_KEY_PREFIX,
        # Handed on to redis-py as it is, whatever the annotation says.
        connection_pool=redis.connection_pool,  # type: ignore[arg-type]
    )


@dataclass
class _Window:
    ends_at: float
    num_requests: int


class _MemoryWindows(Storage):
    """Windows on our clock; the library's own run on the wall clock, which may jump."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        self._forget_what_has_ended()
        window = self._windows.setdefault(key, _Window(self._clock() + expiry, 0))
        window.num_requests += amount
        return window.num_requests

    async def get(self, key: str) -> int:
        self._forget_what_has_ended()
        window = self._windows.get(key)
        return 0 if window is None else window.num_requests

    async def get_expiry(self, key: str) -> float:
        window = self._windows.get(key)
        return self._clock() if window is None else window.ends_at

    async def check(self) -> bool:
        return True

    async def reset(self) -> int:
        num_windows = len(self._windows)
        self._windows.clear()
        return num_windows

    async def clear(self, key: str) -> None:
        self._windows.pop(key, None)

    def _forget_what_has_ended(self) -> None:
        now = self._clock()
        for key in [key for key, window in self._windows.items() if window.ends_at <= now]:
            del self._windows[key]
