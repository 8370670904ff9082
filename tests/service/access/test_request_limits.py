"""Requests a minute: on a clock that one turns, and in a real Redis."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest

from service.access import RequestLimits
from service.errors import RateLimitedError
from service.redis_link import BreakerState, RedisLink
from tests.fakes import ManualClock
from tests.redis_server import RedisServer, linked

pytestmark = pytest.mark.anyio


@pytest.fixture
def limits(clock: ManualClock) -> RequestLimits:
    return RequestLimits(clock=clock)


@pytest.fixture
async def link(redis: RedisServer) -> AsyncIterator[RedisLink]:
    async with linked(redis.url) as link:
        yield link


@pytest.fixture
async def replicas(
    redis: RedisServer, link: RedisLink, clock: ManualClock
) -> AsyncIterator[tuple[RequestLimits, RequestLimits]]:
    async with linked(redis.url) as other:
        yield RequestLimits(clock=clock, link=link), RequestLimits(clock=clock, link=other)


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
    redis: RedisServer, link: RedisLink, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="service.access")
    limits = RequestLimits(clock=clock, link=link)
    assert await seconds_refused(limits, per_minute=1) == 0
    assert await seconds_refused(limits, per_minute=1) >= 59
    redis.stop()
    # By itself the process counts from nought.
    assert [await seconds_refused(limits, per_minute=1) for _ in range(2)] == [0, 60]
    redis.start()
    assert await seconds_refused(limits, per_minute=1) == 0  # a new Redis, that knows of nothing
    assert await seconds_refused(limits, per_minute=1) >= 59
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_redis_that_holds_something_else_is_done_without(
    link: RedisLink, clock: ManualClock
) -> None:
    limits = RequestLimits(clock=clock, link=link)
    await limits.count("anna", per_minute=1)
    for key in await link.texts.keys("affectsr:limits:1*"):
        await link.texts.delete(key)
        await link.texts.rpush(key, "a list")
    assert [await seconds_refused(limits, per_minute=1) for _ in range(2)] == [0, 60]
    assert link.state is BreakerState.CLOSED  # it answers


async def test_redis_that_is_full_is_asked_once_a_second(
    link: RedisLink, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="service.access")
    limits = RequestLimits(clock=clock, link=link)
    await link.texts.config_set("maxmemory-policy", "noeviction")
    await link.texts.config_set("maxmemory", 1)
    assert [await seconds_refused(limits, per_minute=3) for _ in range(4)] == [0, 0, 0, 60]
    assert await num_refusals(link) == 1
    clock.advance(1)
    assert await seconds_refused(limits, per_minute=3) == 59
    assert await num_refusals(link) == 2
    await link.texts.config_set("maxmemory", 0)
    clock.advance(1)
    # The full one has counted nothing.
    assert [await seconds_refused(limits, per_minute=3) for _ in range(3)] == [0, 0, 0]
    assert await seconds_refused(limits, per_minute=3) >= 59
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def num_refusals(link: RedisLink) -> int:
    """How often Redis had no memory for a command."""
    errors = await link.texts.info("errorstats")
    return int(errors["errorstat_OOM"]["count"])


async def test_redis_that_never_answers_is_soon_not_waited_for_at_all(clock: ManualClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        url = f"redis://127.0.0.1:{black_hole.getsockname()[1]}/0"
        async with linked(url, timeout_seconds=0.05) as link:
            limits = RequestLimits(clock=clock, link=link)
            started_at = time.monotonic()
            assert [await seconds_refused(limits) for _ in range(3)] == [0, 0, 0]
            # 50 ms each are allowed; the rest is for a machine that is busy.
            assert time.monotonic() - started_at < 10
            assert link.state is BreakerState.OPEN
            black_hole.settimeout(0)
            for _ in range(3):
                black_hole.accept()[0].close()
            assert await asyncio.gather(*(seconds_refused(limits) for _ in range(3))) == [60] * 3
            with pytest.raises(BlockingIOError):
                black_hole.accept()  # nobody asked again
