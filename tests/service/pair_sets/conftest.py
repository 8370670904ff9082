from collections.abc import AsyncIterator, Iterator

import pytest

from service.redis_link import RedisLink
from tests.redis_server import RedisServer, linked


@pytest.fixture(scope="module")
def shared_redis() -> Iterator[RedisServer]:
    """One for the tests of a module, which take owners of their own."""
    server = RedisServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """One for a test that stops it."""
    server = RedisServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def shared_link(shared_redis: RedisServer) -> AsyncIterator[RedisLink]:
    async with linked(shared_redis.url) as link:
        yield link


@pytest.fixture
async def own_link(own_redis: RedisServer) -> AsyncIterator[RedisLink]:
    async with linked(own_redis.url) as link:
        yield link
