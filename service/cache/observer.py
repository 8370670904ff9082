"""Whom the cache tells what became of each look-up and each entry that was to be kept."""

from typing import Literal, Protocol

Tier = Literal["local", "redis", "flight"]

CacheResult = Literal[
    "hit",
    "miss",
    "foreign",
    "failed",
    "skipped",
    "joined",
    "led",
    "stored",
    "store_failed",
    "store_skipped",
]
"""Of a look-up: found, or not; of Redis also: something else lay there, it did not answer in time,
it was not asked as it is known to be away. Of a flight: another request's work was waited for, or
work was begun. Of Redis: an entry was kept; could not be; was not tried, for Redis is away or full,
too much waits already, or the entry is too large."""


class CacheObserver(Protocol):
    def cache_used(self, tier: Tier, result: CacheResult) -> None:
        """Count one more of these."""
        ...
