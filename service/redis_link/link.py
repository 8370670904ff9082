"""The process's one link to Redis: clients, time limits, and the breaker around every use."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager

from redis.exceptions import RedisError, ResponseError

from service.redis_link.breaker import BreakerState, CircuitBreaker
from service.redis_link.connection import open_redis, report_silent_redis
from service.settings import Settings

logger = logging.getLogger(__name__)

# An answer that took a larger share of the time limit is slow: 10 ms where 50 are allowed. A Redis
# that is near answers in less than one; what it saves is a forward pass of some ten.
_SLOW_SHARE = 0.2


class RedisLink:
    """What uses Redis does so inside `attempt`.

    Attributes:
        texts: a client whose answers are text.
        blobs: a client whose answers are bytes.
        timeout_seconds: how long Redis may take to connect and to answer.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float,
        clock: Callable[[], float],
        on_change: Callable[[BreakerState], None] = lambda state: None,
    ) -> None:
        """Open nothing yet: connections are made when they are used.

        Args:
            url: see `open_redis`.
            timeout_seconds: for a connection and for an answer.
            clock: seconds, monotonic.
            on_change: told the breaker's state when it changes.

        Raises:
            StartupError: the URL cannot be read.
        """
        self.texts = open_redis(url, timeout_seconds=timeout_seconds)
        self.blobs = open_redis(url, timeout_seconds=timeout_seconds, decode_responses=False)
        self.timeout_seconds = timeout_seconds
        self._clock = clock
        self._on_change = on_change
        self._breaker = CircuitBreaker(on_change=self._state_changed)
        self._probing: asyncio.Task[None] | None = None

    @property
    def state(self) -> BreakerState:
        return self._breaker.state

    @asynccontextmanager
    async def attempt(self, *, seconds: float | None = None) -> AsyncIterator[None]:
        """Stands around each use of Redis, and learns from it whether Redis is there.

        Args:
            seconds: for the whole block, for what can be done without Redis: then an answer that
                is slow speaks against it, too. None leaves it at the limit of each command.

        Raises:
            RedisAwayError: Redis did not answer before, and was not asked.
            TimeoutError: the time is over.
        """
        number = self._breaker.enter()
        started_at = self._clock()
        try:
            with _not_losing_a_cancellation():
                async with asyncio.timeout(seconds):
                    yield
        except Exception as error:
            if _is_silence(error):
                self._breaker.failed(number)
            else:
                self._breaker.succeeded(number)
            raise
        except BaseException:  # cancelled
            self._breaker.withdrew(number)
            raise
        if seconds is not None and self._clock() - started_at > self._slow_seconds:
            self._breaker.was_slow(number)
        else:
            self._breaker.succeeded(number)

    async def aclose(self) -> None:
        """End the probe and let go of connections."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        await self.texts.aclose()
        await self.blobs.aclose()

    @property
    def _slow_seconds(self) -> float:
        return self.timeout_seconds * _SLOW_SHARE

    def _state_changed(self, state: BreakerState) -> None:
        self._on_change(state)
        if state is BreakerState.OPEN:
            logger.warning("Redis does not answer, or too slowly: it is left alone for now")
            self._probing = asyncio.create_task(self._probe(), name="redis-probe")
        elif state is BreakerState.CLOSED:
            logger.info("Redis answers again and is used again")

    async def _probe(self) -> None:
        """Ask Redis from time to time, in nobody's stead, until it answers in good time."""
        while self._breaker.state is BreakerState.OPEN:
            await asyncio.sleep(self._breaker.seconds_until_probe)
            try:
                async with asyncio.timeout(self._slow_seconds):
                    await self.texts.ping()
            except (RedisError, OSError):
                continue
            self._breaker.probe_answered()


@contextmanager
def _not_losing_a_cancellation() -> Iterator[None]:
    """Cancel the task if it was cancelled inside and went on.

    redis-py waits by asyncio.wait_for, which in Python 3.11 loses a cancellation that comes as
    what it waits for is done (bpo-37658).
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


def _is_silence(error: Exception) -> bool:
    """Whether Redis did not answer; one that is full, or holds something else, did."""
    return isinstance(error, RedisError | OSError) and not isinstance(error, ResponseError)


@asynccontextmanager
async def open_redis_link(
    settings: Settings,
    *,
    clock: Callable[[], float],
    on_change: Callable[[BreakerState], None],
) -> AsyncIterator[RedisLink | None]:
    """The link to the Redis that the settings name until the block ends; None if they name none.

    Raises:
        StartupError: the URL cannot be read.
    """
    if settings.redis_url is None:
        yield None
        return
    link = RedisLink(
        settings.redis_url.get_secret_value(),
        timeout_seconds=settings.redis_timeout_ms / 1000,
        clock=clock,
        on_change=on_change,
    )
    async with aclosing(link):
        await report_silent_redis(link.texts)
        yield link
