"""A form of values for the cache, an admission, and what became of the look-ups."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.cache.observer import CacheResult, Tier
from service.errors import OverloadedError


class TextForm:
    """Texts as values; `fields` say that they are."""

    def fields_of(self, value: str) -> bytes:
        return b'{"kind": "text"}'

    def data_of(self, value: str) -> bytes:
        return value.encode()

    def value_of(self, fields: bytes, data: bytes) -> str:
        if json.loads(fields) != {"kind": "text"}:
            raise ValueError("no text")
        return data.decode()


class Counts:
    """Observes the cache."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def cache_used(self, tier: Tier, result: CacheResult) -> None:
        self.seen[f"{tier} {result}"] += 1


class Places:
    """Admission with so many places."""

    def __init__(self, capacity: int = 100) -> None:
        self.capacity = capacity
        self.taken = 0
        self.most_taken = 0

    def check_room(self, cost: int) -> None:
        if self.taken + cost > self.capacity:
            raise OverloadedError("full", retry_after_seconds=1)

    @contextmanager
    def admit(self, cost: int) -> Iterator[None]:
        self.check_room(cost)
        self.taken += cost
        self.most_taken = max(self.most_taken, self.taken)
        try:
            yield
        finally:
            self.taken -= cost
