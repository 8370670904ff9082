"""The link to a real Redis that stops, refuses, is slow or never answers."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import RedisError, ResponseError

from service.redis_link import BreakerState, RedisAwayError, RedisLink
from tests.redis_server import RedisProxy, RedisServer, linked

pytestmark = pytest.mark.anyio

CLOSED, HALF_OPEN, OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.stop()


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not claim():
            await asyncio.sleep(0.01)


async def use(link: RedisLink, *, seconds: float | None = None) -> None:
    async with link.attempt(seconds=seconds):
        await link.texts.get("key")


async def fail_to_use(link: RedisLink, times: int = 3) -> None:
    for _ in range(times):
        with pytest.raises((RedisError, OSError)):
            await use(link)


async def test_stopped_redis_is_left_alone_and_used_again_when_it_is_back(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    states: list[BreakerState] = []
    async with linked(server.url, on_change=states.append) as link:
        await use(link)
        server.stop()
        await fail_to_use(link)
        with pytest.raises(RedisAwayError):
            await use(link)
        await asyncio.to_thread(server.start)
        await until(lambda: link.state is HALF_OPEN)
        await use(link)
    assert states == [OPEN, HALF_OPEN, CLOSED]
    said = [(record.levelname, record.message) for record in caplog.records]
    assert said == [
        ("WARNING", "Redis does not answer, or too slowly: it is left alone for now"),
        ("INFO", "Redis answers again and is used again"),
    ]


async def test_redis_that_never_answers_costs_its_time_limit_and_then_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        url = f"redis://127.0.0.1:{black_hole.getsockname()[1]}/0"
        async with linked(url, timeout_seconds=0.05) as link:
            started_at = time.monotonic()
            await fail_to_use(link)
            assert 0.15 <= time.monotonic() - started_at < 10
            started_at = time.monotonic()
            for _ in range(1000):
                with pytest.raises(RedisAwayError):
                    await use(link)
            assert time.monotonic() - started_at < 10  # 50 if they waited, each for its 50 ms


async def test_error_of_redis_itself_is_an_answer(server: RedisServer) -> None:
    async with linked(server.url) as link:
        await link.texts.rpush("key", "a list")
        for _ in range(10):
            with pytest.raises(ResponseError, match="WRONGTYPE"):
                await use(link)
        assert link.state is CLOSED


async def test_error_of_the_block_itself_is_not_held_against_redis(server: RedisServer) -> None:
    async with linked(server.url) as link:
        for _ in range(10):
            with pytest.raises(ZeroDivisionError):
                async with link.attempt():
                    _ = 1 / 0
        assert link.state is CLOSED


async def test_caller_who_leaves_is_not_held_against_redis() -> None:
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        url = f"redis://127.0.0.1:{black_hole.getsockname()[1]}/0"
        async with linked(url, timeout_seconds=0.5) as link:
            for _ in range(5):
                leaving = asyncio.create_task(use(link))
                await asyncio.sleep(0.01)
                leaving.cancel()
                await asyncio.gather(leaving, return_exceptions=True)
            assert link.state is CLOSED


@pytest.mark.parametrize("num_steps", range(12))
async def test_caller_who_leaves_at_any_moment_is_gone(
    shared_server: RedisServer, num_steps: int
) -> None:
    async with linked(shared_server.url) as link:
        await use(link)
        leaving = asyncio.create_task(use(link, seconds=5))
        for _ in range(num_steps):
            await asyncio.sleep(0)
        was_done = leaving.done()
        leaving.cancel()
        await asyncio.wait({leaving})
        assert leaving.cancelled() or was_done


@asynccontextmanager
async def behind_a_delay(server: RedisServer, seconds: float) -> AsyncIterator[RedisLink]:
    """A link with connections to a Redis that has become slow; half a second is its limit."""
    async with RedisProxy(server) as slow, linked(slow.url, timeout_seconds=0.5) as link:
        await asyncio.gather(*(use(link) for _ in range(15)))
        slow.seconds = seconds
        yield link


async def test_slow_redis_is_left_alone_by_those_who_can_do_without(server: RedisServer) -> None:
    async with behind_a_delay(server, 0.12) as link:  # more than a fifth of half a second
        await asyncio.gather(*(use(link, seconds=link.timeout_seconds) for _ in range(15)))
        assert link.state is OPEN
        await asyncio.sleep(1.5)  # a probe was answered meanwhile, and as slowly
        assert link.state is OPEN


async def test_slow_redis_is_asked_by_those_who_need_it(server: RedisServer) -> None:
    async with behind_a_delay(server, 0.12) as link:
        await asyncio.gather(*(use(link) for _ in range(15)))
        assert link.state is CLOSED


async def test_answer_that_comes_too_late_is_a_failure(server: RedisServer) -> None:
    async with behind_a_delay(server, 0.3) as link:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await use(link, seconds=0.05)
        assert link.state is OPEN
