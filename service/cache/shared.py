"""Replies in Redis, which all replicas see. Nothing here fails a request, or keeps it for long.

Look-ups of one request go in one round trip. Entries are written behind the replies, by one task
from a queue that is bounded: what does not fit there is not kept.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from redis.exceptions import RedisError, ResponseError

from service.cache.entry import Entry, ForeignEntryError, pack_entry, unpack_entry
from service.cache.observer import CacheObserver, CacheResult
from service.redis_link import RedisAwayError, RedisLink

logger = logging.getLogger(__name__)

# Raised with a change of the entries' form, so that old ones are not even read.
_PREFIX = "affectsr:cache:1:"
_MAX_WAITING_WRITES = 64
# More than takes Redis's time limit to pass; 128 px PNGs have 40 KiB.
_MAX_ENTRY_BYTES = 2**20
_LOOK_AT_MEMORY_SECONDS = 1.0


class SharedTier:
    """Entries by key in Redis, each for its time to live."""

    def __init__(
        self,
        link: RedisLink,
        *,
        max_used_bytes: int,
        observer: CacheObserver,
        clock: Callable[[], float],
    ) -> None:
        """`start` begins the writing.

        Args:
            link: to Redis.
            max_used_bytes: of memory that Redis uses for whatever it holds; above it nothing more
                is kept there, so that what needs Redis finds room.
            observer: told what became of everything.
            clock: the wall clock that entries end by.
        """
        self._link = link
        self._max_used_bytes = max_used_bytes
        self._observer = observer
        self._clock = clock
        self._waiting: asyncio.Queue[tuple[str, Entry]] = asyncio.Queue(_MAX_WAITING_WRITES)
        self._writing: asyncio.Task[None] | None = None
        self._has_room = True
        self._refuses = False
        self._looked_at_memory_at = -_LOOK_AT_MEMORY_SECONDS

    def start(self) -> None:
        """Begin to write what is offered."""
        self._writing = asyncio.create_task(self._write_all(), name="cache-writer")

    async def aclose(self) -> None:
        """Stop writing; what still waits is not kept."""
        if self._writing is not None:
            self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing

    async def get(self, keys: Sequence[str]) -> dict[str, Entry]:
        """Look keys up; what is not there, not ours, or not to be had in time is left out.

        A hit is for the caller to count, who knows whether the entry is of use.
        """
        if not keys:
            return {}
        try:
            async with self._link.attempt(seconds=self._link.timeout_seconds):
                values = await self._values(keys)
        except RedisAwayError:
            self._count("skipped", len(keys))
            return {}
        except (RedisError, OSError):
            self._count("failed", len(keys))
            return {}
        found = zip(keys, values, strict=True)
        return {key: entry for key, value in found if (entry := self._taken(key, value))}

    def offer(self, key: str, entry: Entry) -> None:
        """Have an entry written some time soon, if there is room for it; waits for nothing."""
        if entry.num_bytes <= _MAX_ENTRY_BYTES:
            with suppress(asyncio.QueueFull):
                self._waiting.put_nowait((key, entry))
                return
        self._observer.cache_used("redis", "store_skipped")

    async def _values(self, keys: Sequence[str]) -> Sequence[object]:
        """What lies under each key, or the error that the command for it met with."""
        if len(keys) == 1:  # nearly always, and a pipeline costs twice the CPU
            try:
                return [await self._link.blobs.get(_PREFIX + keys[0])]
            except ResponseError as error:
                return [error]
        async with self._link.blobs.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.get(_PREFIX + key)
            values: list[object] = await pipeline.execute(raise_on_error=False)
            return values

    def _taken(self, key: str, value: object) -> Entry | None:
        if value is None:
            self._count("miss")
            return None
        if not isinstance(value, bytes):
            # The command's own error: a list lies there, say.
            self._count("foreign" if isinstance(value, ResponseError) else "failed")
            return None
        try:
            entry = unpack_entry(key, value)
        except ForeignEntryError:
            self._count("foreign")
            return None
        if entry.ends_at <= self._clock():  # Redis's clock, by which it forgets, may be late
            self._count("miss")
            return None
        return entry

    async def _write_all(self) -> None:
        while True:
            key, entry = await self._waiting.get()
            try:
                is_stored = await self._write(key, entry)
            except RedisAwayError:
                is_stored = False
            except (RedisError, OSError):
                self._observer.cache_used("redis", "store_failed")
                continue
            self._observer.cache_used("redis", "stored" if is_stored else "store_skipped")

    async def _write(self, key: str, entry: Entry) -> bool:
        """Whether there was room for it and time left to it."""
        now = asyncio.get_running_loop().time()
        has_looked = now - self._looked_at_memory_at < _LOOK_AT_MEMORY_SECONDS
        if has_looked and not self._takes_entries:
            return False
        link = self._link
        async with link.attempt(seconds=link.timeout_seconds):
            if not has_looked:
                await self._look_at_memory(now)
            rest_ms = int(1000 * (entry.ends_at - self._clock()))
            if not self._takes_entries or rest_ms <= 0:
                return False
            try:
                await link.blobs.set(_PREFIX + key, pack_entry(key, entry), px=rest_ms)
            except ResponseError:  # full by its own limit: tried again after the next look
                self._refuses = True
                raise
            return True

    @property
    def _takes_entries(self) -> bool:
        return self._has_room and not self._refuses

    async def _look_at_memory(self, now: float) -> None:
        memory = await self._link.texts.info("memory")
        used_bytes = int(memory.get("used_memory", 0))  # not every server like Redis tells it
        self._looked_at_memory_at = now
        self._refuses = False
        had_room, self._has_room = self._has_room, used_bytes < self._max_used_bytes
        if had_room and not self._has_room:
            logger.warning(
                "Redis uses %d bytes, of %d that AFFECTSR_CACHE_REDIS_BYTES allows: no reply is "
                "kept there until it uses less",
                used_bytes,
                self._max_used_bytes,
            )

    def _count(self, result: CacheResult, times: int = 1) -> None:
        for _ in range(times):
            self._observer.cache_used("redis", result)
