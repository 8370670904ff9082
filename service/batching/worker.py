"""Runs formed batches and answers for each of their items, whatever the device does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.batching.entry import Batch, Entry
from service.batching.size_cap import SizeCap
from service.batching.values import Batched, BatchObserver, BatchRunner
from service.batching.watchdog import Watchdog
from service.errors import (
    DeviceLostError,
    DeviceMemoryError,
    ItemFailedError,
    ServiceError,
)

logger = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class _Failure:
    """Why a batch failed; not the exception itself, whose traceback would hold its memory."""

    kind: type[Exception]
    message: str


@dataclass(frozen=True)
class _Given(Generic[ItemT, ResultT]):
    """A batch that the runner has, and what will come of it."""

    batch: Batch[ItemT, ResultT]
    results: Awaitable[Sequence[ResultT | ServiceError]]


class BatchWorker(Generic[ItemT, ResultT]):
    """Gives batches to the runner; a batch that fails is run again in parts.

    A batch that raises is halved down to the guilty item: for one guilty among n that takes at most
    2 ceil(log2 n) more calls, and the others get their results. A batch that does not fit the
    device's memory is halved too, and later batches of its key are kept smaller.
    """

    def __init__(
        self,
        run_batch: BatchRunner[ItemT, ResultT],
        *,
        observer: BatchObserver,
        size_cap: SizeCap,
        watchdog: Watchdog,
        clock: Callable[[], float],
    ) -> None:
        self._run_batch = run_batch
        self._observer = observer
        self._size_cap = size_cap
        self._watchdog = watchdog
        self._clock = clock
        self._given: list[Batch[ItemT, ResultT]] = []
        self._in_hand: set[Entry[ItemT, ResultT]] = set()

    @property
    def busy_since(self) -> float | None:
        """When the device began with what it has: the running batch, or else one that it was given.

        A batch that waits behind a running one says nothing of the device.
        """
        started = [batch.started_at for batch in self._given if batch.started_at is not None]
        return min(started or [batch.given_at for batch in self._given], default=None)

    def start(self, entries: list[Entry[ItemT, ResultT]]) -> Coroutine[None, None, None]:
        """Give entries of one key to the runner; what comes back is to be run until it ends.

        It ends when each of the entries is answered.

        Raises (as it is awaited):
            DeviceLostError: the device is lost; the entries have been told.
        """
        self._in_hand.update(entries)
        groups = self._parts(entries)
        return self._answer(entries, groups, self._give(groups.pop()))

    async def _answer(
        self,
        entries: list[Entry[ItemT, ResultT]],
        groups: list[list[Entry[ItemT, ResultT]]],
        given: _Given[ItemT, ResultT],
    ) -> None:
        """Wait for what was given; then run the groups, the last one first."""
        try:
            groups += reversed(await self._attempt(given))
            while groups:
                groups += self._parts(groups.pop())
                groups += reversed(await self._attempt(self._give(groups.pop())))
        except DeviceLostError as error:
            for entry in entries:
                entry.fail(DeviceLostError(str(error)))
            raise
        finally:
            self._in_hand.difference_update(entries)
            # Nobody is left waiting, should this task be cancelled or have a fault of its own.
            for entry in entries:
                if not entry.is_answered:
                    entry.fail(ItemFailedError("the batch of this image was given up"))

    def fail_all(self, error: Callable[[], ServiceError]) -> None:
        """Answer for every item in hand; what the device still gives for it is thrown away."""
        for entry in self._in_hand:
            entry.fail(error())

    def _parts(self, entries: list[Entry[ItemT, ResultT]]) -> list[list[Entry[ItemT, ResultT]]]:
        """Parts that fit the device's memory, the first one last."""
        return _parts_within(self._size_cap.max_cost(entries[0].key), entries)[::-1]

    def _give(self, entries: list[Entry[ItemT, ResultT]]) -> _Given[ItemT, ResultT]:
        batch = Batch(entries, self._clock, given_at=self._clock())
        self._given.append(batch)
        try:
            return _Given(batch, self._run_batch(entries[0].key, batch.claim))
        except Exception as error:
            refused = asyncio.get_running_loop().create_future()
            refused.set_exception(error)
            return _Given(batch, refused)

    async def _attempt(self, given: _Given[ItemT, ResultT]) -> list[list[Entry[ItemT, ResultT]]]:
        """Wait for a batch; gives the parts that are to be run again, in order."""
        batch = given.batch
        try:
            outcome = await self._outcome(given)
        finally:
            self._given.remove(batch)
        self._drop_unclaimed(batch)
        if not isinstance(outcome, _Failure):
            self._deliver(batch, outcome)
            return []
        if outcome.kind is DeviceLostError:
            raise DeviceLostError(outcome.message)
        return self._parts_to_retry(batch, outcome)

    async def _outcome(
        self, given: _Given[ItemT, ResultT]
    ) -> Sequence[ResultT | ServiceError] | _Failure:
        batch = given.batch
        try:
            results = await given.results
            if batch.started_at is None or len(results) != len(batch.running):
                raise RuntimeError(f"{len(results)} results for {len(batch.running)} claimed items")
        except (DeviceLostError, DeviceMemoryError) as error:
            return _Failure(type(error), str(error))
        except Exception as error:
            # The traceback once, for the item that fails alone, not for each half on the way.
            logger.warning(
                "a batch of %d items failed",
                len(batch.running),
                exc_info=error if len(batch.running) <= 1 else None,
            )
            return _Failure(ItemFailedError, "the model failed on this image")
        return results

    def _parts_to_retry(
        self, batch: Batch[ItemT, ResultT], failure: _Failure
    ) -> list[list[Entry[ItemT, ResultT]]]:
        failed = batch.running if batch.started_at is not None else batch.entries
        if failure.kind is DeviceMemoryError:
            cost = sum(entry.cost for entry in failed)
            logger.warning("%d items of cost %d do not fit the device", len(failed), cost)
            self._size_cap.too_large(batch.entries[0].key, cost)
            if len(failed) > 1:
                self._observer.batch_split()
        if len(failed) <= 1:
            for entry in failed:
                self._fail_alone(entry, failure)
            return []
        half = len(failed) // 2
        return [failed[:half], failed[half:]]

    def _fail_alone(self, entry: Entry[ItemT, ResultT], failure: _Failure) -> None:
        if failure.kind is DeviceMemoryError:
            entry.fail(DeviceMemoryError(failure.message))
            return
        self._observer.item_failed()
        entry.fail(ItemFailedError(failure.message))

    def _deliver(
        self, batch: Batch[ItemT, ResultT], results: Sequence[ResultT | ServiceError]
    ) -> None:
        if not batch.running or batch.started_at is None:
            return
        run_seconds = self._clock() - batch.started_at
        self._watchdog.batch_finished(run_seconds)
        self._observer.batch_finished(num_items=len(batch.running), run_seconds=run_seconds)
        for entry, result in zip(batch.running, results, strict=True):
            if isinstance(result, ServiceError):
                self._observer.item_failed()
                entry.fail(result)
            else:
                entry.succeed(
                    Batched(
                        result=result,
                        queue_seconds=batch.started_at - entry.queued_at,
                        run_seconds=run_seconds,
                    )
                )

    def _drop_unclaimed(self, batch: Batch[ItemT, ResultT]) -> None:
        if batch.started_at is None:
            return
        if len(batch.running) == len(batch.entries):
            return
        claimed = set(batch.running)
        for entry in batch.entries:
            if entry not in claimed and (reason := entry.dismiss()):
                self._observer.item_dropped(reason)


def _parts_within(
    max_cost: float, entries: list[Entry[ItemT, ResultT]]
) -> list[list[Entry[ItemT, ResultT]]]:
    """Cut into parts of at most this cost, of one entry at least."""
    parts: list[list[Entry[ItemT, ResultT]]] = [[]]
    cost = 0
    for entry in entries:
        if parts[-1] and cost + entry.cost > max_cost:
            parts.append([])
            cost = 0
        parts[-1].append(entry)
        cost += entry.cost
    return parts
