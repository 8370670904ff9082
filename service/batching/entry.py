"""One item with its caller's future, and a batch of them on its way to the device."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from service.batching.values import Batched
from service.errors import DeadlineExceededError, ServiceError

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(eq=False, kw_only=True)
class Entry(Generic[ItemT, ResultT]):
    """An item that somebody waits for; a future that is done already is left as it is."""

    item: ItemT
    key: str
    cost: int
    deadline: float
    queued_at: float
    future: asyncio.Future[Batched[ResultT]]

    @property
    def is_answered(self) -> bool:
        """Whether nobody waits for it: it has its result or error, or its caller has gone."""
        return self.future.done()

    def is_expired(self, now: float) -> bool:
        return now >= self.deadline

    def dismiss(self) -> Literal["cancelled", "expired"] | None:
        """Answer it, for it will not be run; says why, or None if it was answered before."""
        if self.future.cancelled():
            return "cancelled"
        if self.future.done():
            return None
        self.fail(DeadlineExceededError("the deadline passed while the image waited"))
        return "expired"

    def succeed(self, batched: Batched[ResultT]) -> None:
        if not self.future.done():
            self.future.set_result(batched)

    def fail(self, error: ServiceError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(eq=False)
class Batch(Generic[ItemT, ResultT]):
    """Entries of one key, given to the runner, and when and with whom they got to the device.

    Attributes:
        given_at: when the runner was called; the batch may wait there behind another one.
        started_at: when the runner claimed it; None before.
        running: the entries that were claimed: those somebody still waited for.
    """

    entries: list[Entry[ItemT, ResultT]]
    clock: Callable[[], float]
    given_at: float
    running: list[Entry[ItemT, ResultT]] = field(default_factory=list)
    started_at: float | None = None

    def claim(self) -> list[ItemT]:
        # May run on the device's thread while the loop runs: it reads the futures, and only the
        # loop sets them. A caller that goes a moment later has its result thrown away.
        now = self.clock()
        self.running = [
            entry for entry in self.entries if not entry.is_answered and not entry.is_expired(now)
        ]
        self.started_at = now
        return [entry.item for entry in self.running]
