"""The queue: entries that wait, in lanes by key, and which of them the next batch would be."""

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

from service.batching.entry import Entry
from service.batching.size_cap import SizeCap
from service.batching.values import BatchLimits

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class WaitingEntries(Generic[ItemT, ResultT]):
    """Entries in the order in which they came; adding, removing and peeking cost no walk over all.

    An OrderedDict as a lane, for it loses an entry in its middle, or its first, at once.
    """

    def __init__(self, limits: BatchLimits, size_cap: SizeCap) -> None:
        self._limits = limits
        self._size_cap = size_cap
        # Entry -> its number in the order of arrival over all lanes.
        self._lanes: dict[str, OrderedDict[Entry[ItemT, ResultT], int]] = {}
        self._num_added = 0
        self._num_waiting = 0
        # No entry's deadline is before this.
        self._earliest_deadline = math.inf
        self.cost = 0

    def __len__(self) -> int:
        return self._num_waiting

    def __iter__(self) -> Iterator[Entry[ItemT, ResultT]]:
        for lane in self._lanes.values():
            yield from lane

    def add(self, entry: Entry[ItemT, ResultT]) -> None:
        self._lanes.setdefault(entry.key, OrderedDict())[entry] = self._num_added
        self._num_added += 1
        self._num_waiting += 1
        self._earliest_deadline = min(self._earliest_deadline, entry.deadline)
        self.cost += entry.cost

    def remove(self, entry: Entry[ItemT, ResultT]) -> bool:
        """Take an entry out; False if it waits no more."""
        lane = self._lanes.get(entry.key)
        if lane is None or entry not in lane:
            return False
        del lane[entry]
        if not lane:
            del self._lanes[entry.key]
        self._num_waiting -= 1
        self.cost -= entry.cost
        return True

    def take_next(self) -> list[Entry[ItemT, ResultT]]:
        """Take out the oldest entry and those that may go with it; at least one must wait."""
        chosen, _ = self._next()
        for entry in chosen:
            self.remove(entry)
        return chosen

    def take_expired(self, now: float) -> list[Entry[ItemT, ResultT]]:
        """Take out every entry whose deadline has passed; walks over all if there may be any."""
        if now < self._earliest_deadline:
            return []
        expired = [entry for entry in self if entry.is_expired(now)]
        for entry in expired:
            self.remove(entry)
        self._earliest_deadline = min((entry.deadline for entry in self), default=math.inf)
        return expired

    def take_all(self) -> list[Entry[ItemT, ResultT]]:
        taken = list(self)
        self._lanes.clear()
        self._num_waiting = self.cost = 0
        return taken

    def next_batch_is_full(self) -> bool:
        """Whether the next batch would be none the larger for more entries."""
        if (
            self._num_waiting < self._limits.max_batch_size
            and self.cost < self._limits.max_batch_cost
            and not self._size_cap.is_lowered
        ):
            return False
        return self._next()[1]

    def oldest(self) -> Entry[ItemT, ResultT]:
        """The entry that came first; at least one must wait."""
        return next(iter(self._oldest_lane()))

    def _oldest_lane(self) -> OrderedDict[Entry[ItemT, ResultT], int]:
        return min(self._lanes.values(), key=lambda lane: next(iter(lane.values())))

    def _next(self) -> tuple[list[Entry[ItemT, ResultT]], bool]:
        """The next batch, and whether it is full."""
        lane = self._oldest_lane()
        chosen: list[Entry[ItemT, ResultT]] = []
        cost = 0
        max_cost = min(self._limits.max_batch_cost, self._size_cap.max_cost(next(iter(lane)).key))
        for entry in lane:
            if chosen and cost + entry.cost > max_cost:
                return chosen, True
            chosen.append(entry)
            cost += entry.cost
            if len(chosen) == self._limits.max_batch_size or cost >= max_cost:
                return chosen, True
        return chosen, False
