"""Every way in which Redis is no help, as a place that a service under test is pointed at."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from tests.redis_server import RedisProxy, RedisServer, linked


async def _nothing() -> None:
    """What happens midway where nothing does."""


@dataclass(frozen=True)
class TroubledRedis:
    """Where it is, and what happens to it while it is in use."""

    url: str
    midway: Callable[[], Awaitable[None]] = _nothing


@asynccontextmanager
async def _started() -> AsyncIterator[RedisServer]:
    server = RedisServer()
    await asyncio.to_thread(server.start)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.stop)


@asynccontextmanager
async def _well() -> AsyncIterator[TroubledRedis]:
    async with _started() as server:
        yield TroubledRedis(server.url)


@asynccontextmanager
async def _refused() -> AsyncIterator[TroubledRedis]:
    yield TroubledRedis(RedisServer().url)  # never started


@asynccontextmanager
async def _silent() -> AsyncIterator[TroubledRedis]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as black_hole:
        yield TroubledRedis(f"redis://127.0.0.1:{black_hole.getsockname()[1]}/0")


def _slow(seconds: float) -> Callable[[], AbstractAsyncContextManager[TroubledRedis]]:
    @asynccontextmanager
    async def slow() -> AsyncIterator[TroubledRedis]:
        async with _started() as server, RedisProxy(server, seconds=seconds) as proxy:
            yield TroubledRedis(proxy.url)

    return slow


@asynccontextmanager
async def _wrong_type() -> AsyncIterator[TroubledRedis]:
    """Under every key of ours lies a list.

    Each key is changed on its way to another one of the same length, which holds the list.
    """
    patterns = (rb"(affectsr:cache:1:)([0-9a-f]{64})", rb"(affectsr:limits:1)([^\r]*)")

    def rewrite(asked: bytes) -> bytes:
        for pattern in patterns:
            asked = re.sub(pattern, lambda found: found[1] + b"0" * len(found[2]), asked)
        return asked

    async with _started() as server, linked(server.url) as link:
        await link.texts.rpush("affectsr:cache:1:" + "0" * 64, "somebody's", "list")
        for length in range(100):
            await link.texts.rpush("affectsr:limits:1" + "0" * length, "somebody's", "list")
        async with RedisProxy(server, rewrite=rewrite) as proxy:
            yield TroubledRedis(proxy.url)


@asynccontextmanager
async def _restarted() -> AsyncIterator[TroubledRedis]:
    async with _started() as server:

        async def restart() -> None:
            await asyncio.to_thread(server.stop)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(server.start)

        yield TroubledRedis(server.url, restart)


@asynccontextmanager
async def _full() -> AsyncIterator[TroubledRedis]:
    async with _started() as server, linked(server.url) as link:
        await link.texts.config_set("maxmemory-policy", "noeviction")
        await link.texts.config_set("maxmemory", 1)
        yield TroubledRedis(server.url)


TROUBLES: Mapping[str, Callable[[], AbstractAsyncContextManager[TroubledRedis]]] = {
    "well": _well,
    "refused": _refused,
    "silent": _silent,
    "slow by 20 ms": _slow(0.02),
    "slow by 200 ms": _slow(0.2),
    "wrong type": _wrong_type,
    "restarted": _restarted,
    "full": _full,
}
