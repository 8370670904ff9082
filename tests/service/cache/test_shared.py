"""The tier in a real Redis: what it finds, keeps, and does without."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager

import pytest

from service.cache.entry import Entry, cache_key, pack_entry
from service.cache.response_cache import Found, ResponseCache
from service.cache.shared import SharedTier
from service.redis_link import BreakerState, RedisLink
from tests.redis_server import RedisServer, linked
from tests.service.cache.callers import Counts, Places, TextForm

pytestmark = pytest.mark.anyio

PLENTY = 2**40


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def link(server: RedisServer) -> AsyncIterator[RedisLink]:
    async with linked(server.url) as link:
        await link.texts.flushall()
        yield link


@pytest.fixture
def counts() -> Counts:
    return Counts()


@asynccontextmanager
async def tier_on(
    link: RedisLink, counts: Counts, *, max_used_bytes: int = PLENTY
) -> AsyncIterator[SharedTier]:
    tier = SharedTier(link, max_used_bytes=max_used_bytes, observer=counts, clock=time.time)
    async with aclosing(tier):
        tier.start()
        yield tier


@pytest.fixture
async def tier(link: RedisLink, counts: Counts) -> AsyncIterator[SharedTier]:
    async with tier_on(link, counts) as tier:
        yield tier


def key_of(name: str) -> str:
    return cache_key([name], bytes(32))


def entry(data: bytes = b"a file", *, seconds: float = 60) -> Entry:
    return Entry(fields=b'{"kind": "text"}', data=data, ends_at=time.time() + seconds)


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not claim():
            await asyncio.sleep(0.005)


async def test_entry_that_was_offered_is_found_and_ends_with_its_time(
    tier: SharedTier, link: RedisLink, counts: Counts
) -> None:
    kept = entry(seconds=30)
    tier.offer(key_of("a"), kept)
    await until(lambda: counts.seen["redis stored"] == 1)
    assert await tier.get([key_of("a"), key_of("b")]) == {key_of("a"): kept}
    assert counts.seen["redis miss"] == 1
    (name,) = await link.texts.keys("*")
    assert name == f"affectsr:cache:1:{key_of('a')}"
    assert 28_000 < await link.texts.pttl(name) <= 30_000


async def test_entry_that_redis_forgets_too_late_is_not_given_out(
    tier: SharedTier, link: RedisLink, counts: Counts
) -> None:
    key = key_of("a")
    await link.blobs.set(f"affectsr:cache:1:{key}", pack_entry(key, entry(seconds=-1)))
    assert await tier.get([key]) == {}
    assert counts.seen == {"redis miss": 1}


async def test_what_is_no_entry_of_the_key_is_a_miss_and_counted_and_written_over(
    tier: SharedTier, link: RedisLink, counts: Counts
) -> None:
    keys = [key_of(name) for name in ("list", "text", "damaged", "other", "good")]
    names = [f"affectsr:cache:1:{key}" for key in keys]
    await link.blobs.rpush(names[0], "a", "list")
    await link.blobs.set(names[1], "somebody's text")
    await link.blobs.set(names[2], pack_entry(keys[2], entry())[:-1])
    await link.blobs.set(names[3], pack_entry(keys[4], entry()))
    await link.blobs.set(names[4], pack_entry(keys[4], entry(b"good")))
    assert {key: found.data for key, found in (await tier.get(keys)).items()} == {keys[4]: b"good"}
    assert counts.seen == {"redis foreign": 4}
    for key in keys[:4]:  # one by one as well
        assert await tier.get([key]) == {}
    assert counts.seen == {"redis foreign": 8}
    assert link.state is BreakerState.CLOSED
    for key in keys[:4]:
        tier.offer(key, entry(b"mended"))
    await until(lambda: counts.seen["redis stored"] == 4)
    assert len(await tier.get(keys)) == 5


async def test_full_redis_is_read_as_ever_and_asked_once_a_second_to_keep_more(
    link: RedisLink, counts: Counts
) -> None:
    await link.texts.config_set("maxmemory-policy", "noeviction")
    async with tier_on(link, counts) as tier:
        tier.offer(key_of("a"), entry())
        await until(lambda: counts.seen["redis stored"] == 1)
        await link.texts.config_set("maxmemory", 1)
        for name in "bcde":
            tier.offer(key_of(name), entry())
        await until(lambda: counts.seen["redis store_skipped"] == 3)
        assert counts.seen["redis store_failed"] == 1
        assert len(await tier.get([key_of("a")])) == 1
        assert link.state is BreakerState.CLOSED
        await link.texts.config_set("maxmemory", 0)
        async with asyncio.timeout(30):
            while counts.seen["redis stored"] == 1:
                tier.offer(key_of("f"), entry())
                await asyncio.sleep(0.05)
    assert len(await link.blobs.keys("*")) == 2


async def test_nothing_is_kept_in_a_redis_that_uses_as_much_memory_as_it_may(
    link: RedisLink, counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    async with tier_on(link, counts, max_used_bytes=1000) as tier:
        for name in "abc":
            tier.offer(key_of(name), entry())
        await until(lambda: counts.seen["redis store_skipped"] == 3)
    assert await link.texts.keys("*") == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "of 1000 that AFFECTSR_CACHE_REDIS_BYTES allows" in caplog.text


async def test_entries_that_wait_to_be_written_are_bounded_and_none_is_too_large(
    link: RedisLink, counts: Counts
) -> None:
    async with tier_on(link, counts) as tier:
        for number in range(200):  # the writer has no turn meanwhile
            tier.offer(key_of(str(number)), entry())
        tier.offer(key_of("large"), entry(bytes(2**20)))
        assert counts.seen == {"redis store_skipped": 200 - 64 + 1}
        await until(lambda: counts.seen["redis stored"] == 64)


async def test_redis_that_is_away_fails_nothing(counts: Counts) -> None:
    server = RedisServer()  # never started
    async with linked(server.url) as link, tier_on(link, counts) as tier:
        for _ in range(5):
            assert await tier.get([key_of("a"), key_of("b")]) == {}
        tier.offer(key_of("a"), entry())
        await until(lambda: counts.seen["redis store_skipped"] == 1)
    assert counts.seen["redis failed"] == 6
    assert counts.seen["redis skipped"] == 4


async def test_replica_finds_what_another_made_and_keeps_it_in_its_memory(
    server: RedisServer, link: RedisLink
) -> None:
    counts = [Counts(), Counts()]

    async def made() -> str:
        return "made"

    async with linked(server.url) as other:
        for own_link, own_counts in zip((link, other), counts, strict=True):
            async with tier_on(own_link, own_counts) as tier:
                cache = ResponseCache(
                    TextForm(),
                    namespace="n",
                    max_bytes=2**20,
                    ttl_seconds=60,
                    observer=own_counts,
                    clock=time.time,
                    shared=tier,
                )
                for _ in range(2):
                    found = await cache.get_or_make({key_of("a"): made}, admission=Places())
                    assert isinstance(found[key_of("a")], Found)
                if own_link is link:
                    await until(lambda: counts[0].seen["redis stored"] == 1)
    assert counts[0].seen == {
        "local miss": 1, "redis miss": 1, "flight led": 1, "redis stored": 1, "local hit": 1
    }  # fmt: skip
    assert counts[1].seen == {"local miss": 1, "redis hit": 1, "local hit": 1}


async def test_entry_whose_fields_are_no_values_is_a_miss_and_counted(
    tier: SharedTier, link: RedisLink, counts: Counts
) -> None:
    key = key_of("a")
    odd = Entry(fields=b'{"kind": "other"}', data=b"", ends_at=time.time() + 60)
    await link.blobs.set(f"affectsr:cache:1:{key}", pack_entry(key, odd))
    cache = ResponseCache(
        TextForm(),
        namespace="n",
        max_bytes=2**20,
        ttl_seconds=60,
        observer=counts,
        clock=time.time,
        shared=tier,
    )

    async def made() -> str:
        return "made"

    assert await cache.get_or_make({key: made}, admission=Places()) == {key: Found("made", "miss")}
    assert counts.seen["redis foreign"] == 1
