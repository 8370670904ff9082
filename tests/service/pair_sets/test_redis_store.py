"""What is Redis's own: its clock, its failures, what it is left with."""

import asyncio
import socket
import uuid

import pytest
from redis.asyncio import Redis

from service.errors import SetsUnavailableError, StartupError, UnknownSetError
from service.pair_sets import RedisPairSets, SetLimits
from service.redis_link import RedisLink, open_redis
from tests.redis_server import RedisServer, linked
from tests.service.pair_sets.pairs import pairs

pytestmark = pytest.mark.anyio

LIMITS = SetLimits(max_sets=3, ttl_seconds=60)


@pytest.fixture
def owner() -> str:
    return uuid.uuid4().hex


async def keys_of(redis: Redis, owner: str) -> set[str]:
    return {key async for key in redis.scan_iter(f"*{owner}*")}


async def test_nothing_but_sums_and_keys_is_kept_and_all_of_it_expires(
    shared_link: RedisLink, owner: str
) -> None:
    redis = shared_link.texts
    store = RedisPairSets(shared_link, LIMITS)
    await store.add(owner, "nightly", pairs(2, key="a"))
    found = await keys_of(redis, owner)
    kinds = {key.removeprefix(f"{{affectsr:ecm:1:{owner}}}:") for key in found}
    assert kinds == {
        "sets", "set:nightly", "sums:nightly", "fingerprints:nightly", "idempotency-keys:nightly"
    }  # fmt: skip
    for key in found:
        assert 0 < await redis.pttl(key) <= 60_000
    sums = await redis.hgetall(f"{{affectsr:ecm:1:{owner}}}:sums:nightly")
    assert all(int(value) == float(value) for value in sums.values())
    await store.delete(owner, "nightly")
    assert await keys_of(redis, owner) == set()


async def test_set_whose_time_ran_out_is_gone_and_its_place_free(
    shared_link: RedisLink, owner: str
) -> None:
    redis = shared_link.texts
    store = RedisPairSets(shared_link, SetLimits(max_sets=1, ttl_seconds=60))
    await store.add(owner, "old", pairs(2))
    for key in await keys_of(redis, owner):
        if not key.endswith(":sets"):
            await redis.pexpire(key, 1)
    await redis.zadd(f"{{affectsr:ecm:1:{owner}}}:sets", {"old": 1.0})
    await asyncio.sleep(0.01)  # Redis's own clock
    with pytest.raises(UnknownSetError):
        await store.get(owner, "old")
    assert await store.entries(owner) == []
    await store.add(owner, "new", pairs(1))
    assert [entry.name for entry in await store.entries(owner)] == ["new"]


async def test_every_addition_begins_the_time_anew(shared_link: RedisLink, owner: str) -> None:
    redis = shared_link.texts
    store = RedisPairSets(shared_link, LIMITS)
    await store.add(owner, "nightly", pairs(1, key="a"))
    for key in await keys_of(redis, owner):
        await redis.pexpire(key, 10_000)
    await store.add(owner, "nightly", pairs(1))
    for key in await keys_of(redis, owner):
        assert await redis.pttl(key) > 50_000


@pytest.mark.parametrize("kind", ["set", "sums", "fingerprints", "idempotency-keys"])
async def test_key_of_another_type_is_unavailable_and_nothing_is_half_added(
    kind: str, shared_link: RedisLink, owner: str
) -> None:
    redis = shared_link.texts
    store = RedisPairSets(shared_link, LIMITS)
    await redis.set(f"{{affectsr:ecm:1:{owner}}}:{kind}:nightly", "somebody else's")
    with pytest.raises(SetsUnavailableError, match="cannot be used now"):
        await store.add(owner, "nightly", pairs(2, key="a"))
    assert len(await keys_of(redis, owner)) == 1


async def test_sums_that_are_no_numbers_are_unavailable(shared_link: RedisLink, owner: str) -> None:
    redis = shared_link.texts
    store = RedisPairSets(shared_link, LIMITS)
    await store.add(owner, "nightly", pairs(2))
    await redis.hset(f"{{affectsr:ecm:1:{owner}}}:sums:nightly", "entropy:0", "many")
    with pytest.raises(SetsUnavailableError):
        await store.get(owner, "nightly")


async def test_refused_connection_is_unavailable_and_says_how_to_repeat(
    own_redis: RedisServer, own_link: RedisLink
) -> None:
    store = RedisPairSets(own_link, LIMITS)
    own_redis.stop()
    with pytest.raises(SetsUnavailableError, match="repeat the request with the Idempotency-Key"):
        await store.add("owner", "nightly", pairs(1))
    with pytest.raises(SetsUnavailableError, match="needs no Redis"):
        await store.get("owner", "nightly")
    with pytest.raises(SetsUnavailableError):
        await store.entries("owner")
    with pytest.raises(SetsUnavailableError):
        await store.delete("owner", "nightly")


async def test_restarted_redis_is_used_again_without_an_error(
    own_redis: RedisServer, own_link: RedisLink
) -> None:
    store = RedisPairSets(own_link, LIMITS)
    await store.add("owner", "nightly", pairs(1))
    await asyncio.to_thread(own_redis.stop)
    await asyncio.to_thread(own_redis.start)
    assert (await store.add("owner", "nightly", pairs(1))).result.n == 1  # it kept nothing


async def test_redis_that_never_answers_is_soon_not_waited_for_at_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        url = f"redis://127.0.0.1:{black_hole.getsockname()[1]}/0"
        async with linked(url, timeout_seconds=0.05) as link:
            store = RedisPairSets(link, LIMITS)
            started_at = asyncio.get_running_loop().time()
            for _ in range(3):
                with pytest.raises(SetsUnavailableError, match="TimeoutError"):
                    await store.add("owner", "nightly", pairs(1))
            assert asyncio.get_running_loop().time() - started_at < 2
            with pytest.raises(SetsUnavailableError, match="RedisAwayError"):
                await store.get("owner", "nightly")


@pytest.mark.parametrize("url", ["http://cache:secret@host", "redis://u:secret@host:port/0"])
def test_wrong_url_is_a_startup_error_without_its_password(url: str) -> None:
    with pytest.raises(StartupError, match="AFFECTSR_REDIS_URL cannot be read") as info:
        open_redis(url, timeout_seconds=1)
    assert "secret" not in str(info.value)
