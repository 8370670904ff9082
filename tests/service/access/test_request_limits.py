"""Requests a minute: on a clock that one turns, and in a real Redis."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from service.access import RequestLimits
from service.errors import RateLimitedError
from service.redis_connection import open_redis
from tests.fakes import ManualClock
from tests.redis_server import RedisServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def limits(clock: ManualClock) -> RequestLimits:
    return RequestLimits(clock=clock)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.stop()


def limits_in(url: str, clock: ManualClock, *, timeout_seconds: float = 5) -> RequestLimits:
    redis = open_redis(url, timeout_seconds=timeout_seconds)
    return RequestLimits(clock=clock, redis=redis, redis_timeout_seconds=timeout_seconds)


@pytest.fixture
async def replicas(
    redis: RedisServer, clock: ManualClock
) -> AsyncIterator[tuple[RequestLimits, RequestLimits]]:
    first, second = limits_in(redis.url, clock), limits_in(redis.url, clock)
    yield first, second
    await first.aclose()
    await second.aclose()


async def seconds_refused(limits: RequestLimits, *, name: str = "anna", per_minute: int = 3) -> int:
    """Retry-After, 0 where the request is allowed."""
    try:
        await limits.count(name, per_minute=per_minute)
    except RateLimitedError as error:
        return error.retry_after_seconds
    return 0


async def test_request_over_the_limit_is_refused_until_the_minute_is_over(
    limits: RequestLimits, clock: ManualClock
) -> None:
    assert [await seconds_refused(limits) for _ in range(4)] == [0, 0, 0, 60]
    clock.advance(20.5)
    assert await seconds_refused(limits) == 40
    clock.advance(39.4)
    assert await seconds_refused(limits) == 1
    clock.advance(0.1)
    assert [await seconds_refused(limits) for _ in range(4)] == [0, 0, 0, 60]


async def test_caller_who_obeys_retry_after_is_let_in(
    limits: RequestLimits, clock: ManualClock
) -> None:
    clock.advance(0.7)
    for _ in range(10):
        clock.advance(await seconds_refused(limits, per_minute=1))
        assert await seconds_refused(limits, per_minute=1) in (0, 60)


async def test_names_are_counted_apart(limits: RequestLimits) -> None:
    assert await seconds_refused(limits, name="anna", per_minute=1) == 0
    assert await seconds_refused(limits, name="ben", per_minute=1) == 0
    assert await seconds_refused(limits, name="anna", per_minute=1) == 60


async def test_refusal_says_limit_and_remedy(limits: RequestLimits) -> None:
    await limits.count("anna", per_minute=1)
    with pytest.raises(RateLimitedError, match="had its 1 requests of this minute; come back"):
        await limits.count("anna", per_minute=1)


async def test_replicas_count_together_in_redis(
    replicas: tuple[RequestLimits, RequestLimits],
) -> None:
    first, second = replicas
    refused = [await seconds_refused(limits) for limits in (first, second, first, second, first)]
    assert refused[:3] == [0, 0, 0]
    assert all(59 <= seconds <= 61 for seconds in refused[3:])


async def test_redis_that_stops_and_starts_again_costs_no_request(
    redis: RedisServer, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    limits = limits_in(redis.url, clock)
    assert await seconds_refused(limits, per_minute=1) == 0
    assert await seconds_refused(limits, per_minute=1) >= 59
    redis.stop()
    # By itself the process counts from nought.
    assert [await seconds_refused(limits, per_minute=1) for _ in range(2)] == [0, 60]
    redis.start()
    assert await seconds_refused(limits, per_minute=1) == 60
    clock.advance(5)
    assert await seconds_refused(limits, per_minute=1) == 0  # a new Redis, that knows of nothing
    assert await seconds_refused(limits, per_minute=1) >= 59
    await limits.aclose()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_redis_that_holds_something_else_is_done_without(
    redis: RedisServer, clock: ManualClock
) -> None:
    client = open_redis(redis.url, timeout_seconds=5)
    limits = limits_in(redis.url, clock)
    await limits.count("anna", per_minute=1)
    for key in await client.keys("affectsr:limits:1*"):
        await client.delete(key)
        await client.rpush(key, "a list")
    assert [await seconds_refused(limits, per_minute=1) for _ in range(2)] == [0, 60]
    await client.aclose()
    await limits.aclose()


async def test_redis_that_never_answers_is_waited_for_once_and_not_for_long(
    clock: ManualClock,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        url = f"redis://127.0.0.1:{black_hole.getsockname()[1]}/0"
        limits = limits_in(url, clock, timeout_seconds=0.05)
        started_at = time.monotonic()
        assert await seconds_refused(limits) == 0
        # 50 ms are allowed; the rest is for a machine that is busy.
        assert time.monotonic() - started_at < 1
        black_hole.settimeout(0)
        black_hole.accept()[0].close()
        refused = await asyncio.gather(*(seconds_refused(limits) for _ in range(3)))
        assert refused == [0, 0, 60]
        with pytest.raises(BlockingIOError):
            black_hole.accept()  # nobody asked again
        await limits.aclose()
