"""DynamicBatcher: single items in, batches to the one device, each caller its own result.

Stands between admission and the engine. It knows neither torch nor HTTP: an item is whatever the
runner takes, and `key` says which items may share a batch (for upscaling the model's reference:
the engine brings every image to that model's grid, so size does not matter).

Work-conserving: an idle device is given what is there. While it is busy the queue grows, and a
batch is formed as late as it can be: when the device is free, or ahead of that only if it is full
already and waiting could not make it fuller.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar

from service.errors import (
    DeadlineExceededError,
    ItemFailedError,
    NotReadyError,
    QueueFullError,
    ServiceError,
)

logger = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
ItemT_co = TypeVar("ItemT_co", covariant=True)
ItemT_contra = TypeVar("ItemT_contra", contravariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)

# One batch runs and one full batch waits behind it, so that the device never waits for the loop.
_MAX_BATCHES_IN_FLIGHT = 2


class Claim(Protocol[ItemT_co]):
    """Hands a batch's items to the runner, at the last moment and from whatever thread it is on."""

    def __call__(self) -> Sequence[ItemT_co]:
        """Return the items whose callers still wait; called once, just before the work starts."""
        ...


class BatchRunner(Protocol[ItemT_contra, ResultT_co]):
    """Runs one batch on the device; batches given while one runs wait their turn there."""

    async def __call__(
        self, key: str, claim: Claim[ItemT_contra]
    ) -> Sequence[ResultT_co | ServiceError]:
        """Return one result or error for each item of `claim()`, in its order."""
        ...


class BatchObserver(Protocol):
    """Is told what happens in the queue; called on the event loop, must not raise."""

    def queue_changed(self, *, num_items: int, cost: int) -> None: ...

    def batch_finished(self, *, num_items: int, run_seconds: float) -> None: ...

    def item_dropped(self, reason: Literal["cancelled", "expired"]) -> None: ...

    def item_failed(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """What a batch and the queue may hold.

    Attributes:
        max_batch_size: items in one batch.
        max_batch_cost: sum of the items' costs in one batch; a dearer item runs alone.
        queue_capacity: items that may wait.
        max_wait_seconds: how long an idle device waits for a fuller batch.
    """

    max_batch_size: int
    max_batch_cost: int
    queue_capacity: int
    max_wait_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Batched(Generic[ResultT]):
    """One item's result, with the time that it waited and the time that its batch ran."""

    result: ResultT
    queue_seconds: float
    run_seconds: float


@dataclass(eq=False, kw_only=True)
class _Entry(Generic[ItemT, ResultT]):
    item: ItemT
    key: str
    cost: int
    deadline: float
    queued_at: float
    future: asyncio.Future[Batched[ResultT]]

    def is_expired(self, now: float) -> bool:
        return now >= self.deadline


@dataclass(eq=False)
class _Batch(Generic[ItemT, ResultT]):
    """Entries on their way to the device, and when and with whom they got there."""

    entries: list[_Entry[ItemT, ResultT]]
    clock: Callable[[], float]
    running: list[_Entry[ItemT, ResultT]] = field(default_factory=list)
    started_at: float | None = None

    def claim(self) -> list[ItemT]:
        # May run on the device's thread while the loop runs: it reads the futures, and only the
        # loop sets them. A caller that goes a moment later has its result thrown away.
        self.started_at = now = self.clock()
        self.running = [
            entry for entry in self.entries if not entry.future.done() and not entry.is_expired(now)
        ]
        return [entry.item for entry in self.running]


class DynamicBatcher(Generic[ItemT, ResultT]):
    """One bounded queue and the task that empties it; used on one event loop."""

    def __init__(
        self,
        run_batch: BatchRunner[ItemT, ResultT],
        limits: BatchLimits,
        *,
        observer: BatchObserver,
        clock: Callable[[], float],
    ) -> None:
        self._run_batch = run_batch
        self._limits = limits
        self._observer = observer
        self._clock = clock
        self._queue: deque[_Entry[ItemT, ResultT]] = deque()
        self._changed = asyncio.Event()
        self._batches: set[asyncio.Task[None]] = set()
        self._scheduler: asyncio.Task[None] | None = None
        self._is_closed = False
        self._held_until: int | None = None
        self._queued_cost = 0

    def start(self) -> None:
        """Start the scheduler on the running loop."""
        self._scheduler = asyncio.create_task(self._schedule(), name="batcher")

    async def submit(
        self, key: str, item: ItemT, *, cost: int, deadline: float
    ) -> Batched[ResultT]:
        """Queue one item and wait for its result; cancelling the wait takes it out of the queue.

        Args:
            key: only items of one key share a batch.
            item: must own its memory until the result is there.
            cost: what it counts against `max_batch_cost`.
            deadline: on the batcher's clock; an item that has not started by then never will.

        Raises:
            QueueFullError: `queue_capacity` items wait already.
            NotReadyError: the batcher is closed.
            DeadlineExceededError: the deadline passed in the queue.
            ServiceError: what the runner gave for this item, ItemFailedError if it raised.
        """
        if self._is_closed:
            raise NotReadyError("the service is stopping; send the request to another replica")
        if len(self._queue) >= self._limits.queue_capacity:
            self._drop_dead_entries()
        if len(self._queue) >= self._limits.queue_capacity:
            raise QueueFullError(
                f"{len(self._queue)} images wait, which is all that the queue holds; retry later"
            )
        entry: _Entry[ItemT, ResultT] = _Entry(
            item=item,
            key=key,
            cost=cost,
            deadline=deadline,
            queued_at=self._clock(),
            future=asyncio.get_running_loop().create_future(),
        )
        self._queue.append(entry)
        self._queued_cost += cost
        self._queue_has_changed()
        try:
            return await entry.future
        except asyncio.CancelledError:
            self._changed.set()  # the scheduler drops it now, so that its place is free at once
            raise

    def hold(self, *, until_queued: int) -> None:
        """Form no batch before `until_queued` items wait; makes the batches of a test certain."""
        self._held_until = until_queued

    async def close(self) -> None:
        """Take no more, answer what is queued with NotReadyError, let running batches finish."""
        self._is_closed = True
        for entry in self._queue:
            self._fail(entry, NotReadyError("the service stopped; send the request elsewhere"))
        self._keep_in_queue(deque())
        if self._scheduler is not None:
            self._scheduler.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._scheduler
        while self._batches:
            await asyncio.wait(self._batches)

    # --- forming batches ---

    async def _schedule(self) -> None:
        while True:
            self._changed.clear()
            self._drop_dead_entries()
            if not self._may_form():
                await self._changed.wait()
                continue
            wait_seconds = self._seconds_worth_waiting()
            if wait_seconds > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), wait_seconds)
                continue
            self._start_batch(self._take_next_entries())

    def _may_form(self) -> bool:
        if not self._queue or len(self._batches) >= _MAX_BATCHES_IN_FLIGHT:
            return False
        if self._held_until is not None:
            if len(self._queue) < self._held_until:
                return False
            self._held_until = None
        return not self._batches or self._next_batch_is_full()

    def _seconds_worth_waiting(self) -> float:
        if self._limits.max_wait_seconds <= 0 or self._next_batch_is_full():
            return 0.0
        return self._queue[0].queued_at + self._limits.max_wait_seconds - self._clock()

    def _next_entries(self) -> tuple[list[_Entry[ItemT, ResultT]], bool]:
        """The oldest entry and those that may go with it, and whether more would not fit."""
        chosen: list[_Entry[ItemT, ResultT]] = []
        cost = 0
        for entry in self._queue:
            if entry.key != self._queue[0].key:
                continue
            if chosen and cost + entry.cost > self._limits.max_batch_cost:
                return chosen, True
            chosen.append(entry)
            cost += entry.cost
            if len(chosen) == self._limits.max_batch_size:
                return chosen, True
        return chosen, cost >= self._limits.max_batch_cost

    def _next_batch_is_full(self) -> bool:
        return self._next_entries()[1]

    def _take_next_entries(self) -> list[_Entry[ItemT, ResultT]]:
        chosen, _ = self._next_entries()
        taken = set(chosen)
        self._keep_in_queue(deque(entry for entry in self._queue if entry not in taken))
        return chosen

    def _drop_dead_entries(self) -> None:
        now = self._clock()
        alive: deque[_Entry[ItemT, ResultT]] = deque()
        for entry in self._queue:
            if entry.future.done() or entry.is_expired(now):
                self._drop(entry)
            else:
                alive.append(entry)
        if len(alive) < len(self._queue):
            self._keep_in_queue(alive)

    def _keep_in_queue(self, entries: deque[_Entry[ItemT, ResultT]]) -> None:
        self._queue = entries
        self._queued_cost = sum(entry.cost for entry in entries)
        self._queue_has_changed()

    def _queue_has_changed(self) -> None:
        self._changed.set()
        self._observer.queue_changed(num_items=len(self._queue), cost=self._queued_cost)

    # --- running them ---

    def _start_batch(self, entries: list[_Entry[ItemT, ResultT]]) -> None:
        task = asyncio.create_task(self._run(entries), name="batch")
        self._batches.add(task)
        task.add_done_callback(self._batch_is_done)

    def _batch_is_done(self, task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        self._changed.set()

    async def _run(self, entries: list[_Entry[ItemT, ResultT]]) -> None:
        """Run entries of one key; if that raises, run the halves, down to the guilty item."""
        batch = _Batch(entries, self._clock)
        try:
            results = await self._run_batch(entries[0].key, batch.claim)
            if batch.started_at is None or len(results) != len(batch.running):
                raise RuntimeError(f"{len(results)} results for {len(batch.running)} claimed items")
        except Exception as error:
            guilty = batch.running if batch.started_at is not None else entries
            half = len(guilty) // 2
            logger.warning(
                "a batch of %d items failed", len(guilty), exc_info=None if half else error
            )
        else:
            self._deliver(batch, results, started_at=batch.started_at)
            return
        self._drop_unclaimed(batch)
        if half == 0:
            for entry in guilty:
                self._observer.item_failed()
                self._fail(entry, ItemFailedError("the model failed on this image"))
            return
        # Outside the except block, so that no traceback keeps the failed batch's memory.
        await self._run(guilty[:half])
        await self._run(guilty[half:])

    def _deliver(
        self,
        batch: _Batch[ItemT, ResultT],
        results: Sequence[ResultT | ServiceError],
        *,
        started_at: float,
    ) -> None:
        self._drop_unclaimed(batch)
        if not batch.running:
            return
        run_seconds = self._clock() - started_at
        self._observer.batch_finished(num_items=len(batch.running), run_seconds=run_seconds)
        for entry, result in zip(batch.running, results, strict=True):
            if isinstance(result, ServiceError):
                self._observer.item_failed()
                self._fail(entry, result)
            elif not entry.future.done():
                entry.future.set_result(
                    Batched(
                        result=result,
                        queue_seconds=started_at - entry.queued_at,
                        run_seconds=run_seconds,
                    )
                )

    def _drop_unclaimed(self, batch: _Batch[ItemT, ResultT]) -> None:
        if batch.started_at is None:
            return
        claimed = set(batch.running)
        for entry in batch.entries:
            if entry not in claimed:
                self._drop(entry)

    def _drop(self, entry: _Entry[ItemT, ResultT]) -> None:
        if entry.future.done():
            self._observer.item_dropped("cancelled")
            return
        self._observer.item_dropped("expired")
        self._fail(entry, DeadlineExceededError("the deadline passed while the image waited"))

    def _fail(self, entry: _Entry[ItemT, ResultT], error: ServiceError) -> None:
        if not entry.future.done():
            entry.future.set_exception(error)
