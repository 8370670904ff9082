"""DynamicBatcher: takes items, forms batches of them, gives those to the worker.

Work-conserving: an idle device is given what is there. While it is busy the queue grows, and a
batch is formed as late as it can be: when the device is free, or ahead of that only if it is full
already and waiting could not make it fuller.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Generic, TypeVar

from service.batching.entry import Entry
from service.batching.size_cap import SizeCap
from service.batching.values import Batched, BatchLimits, BatchObserver, BatchRunner
from service.batching.waiting import WaitingEntries
from service.batching.watchdog import DeviceState, Watchdog
from service.batching.worker import BatchWorker
from service.errors import (
    DeviceLostError,
    DeviceStalledError,
    ItemFailedError,
    NotReadyError,
    QueueFullError,
    ServiceError,
)

logger = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

# One batch runs and one full batch waits behind it, so that the device never waits for the loop.
_MAX_BATCHES_IN_FLIGHT = 2
# A hung device is noticed at most this much later than it could be.
_WATCH_SECONDS = 0.25
# A look that comes so late says that this process stood still, not its device.
_PAUSED_SECONDS = 2.0


class DynamicBatcher(Generic[ItemT, ResultT]):
    """One bounded queue and what empties it; used on one event loop.

    Batches are formed by a callback of the loop's, one turn after the queue has changed: whoever
    comes in the same turn is in the same batch.
    """

    def __init__(
        self,
        run_batch: BatchRunner[ItemT, ResultT],
        limits: BatchLimits,
        *,
        observer: BatchObserver,
        clock: Callable[[], float],
    ) -> None:
        self._limits = limits
        self._observer = observer
        self._clock = clock
        size_cap = SizeCap(largest=limits.max_batch_cost, clock=clock)
        self._waiting: WaitingEntries[ItemT, ResultT] = WaitingEntries(limits, size_cap)
        self._watchdog = Watchdog(stall_seconds=limits.stall_seconds, clock=clock)
        self._worker = BatchWorker(
            run_batch, observer=observer, size_cap=size_cap, watchdog=self._watchdog, clock=clock
        )
        self._forming: asyncio.Handle | None = None
        self._company_is_due: asyncio.TimerHandle | None = None
        self._batches: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._is_closed = False
        self._held_until: int | None = None
        self._device_state = DeviceState.ANSWERS

    def start(self) -> None:
        """Start the watchdog on the running loop."""
        self._watching = asyncio.create_task(self._watch(), name="watchdog")

    @property
    def has_lost_device(self) -> bool:
        """Whether the device will not run anything any more, and may hold its thread for ever."""
        return self._device_state is DeviceState.LOST

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
            DeviceStalledError, DeviceLostError: the device does not answer, or will not any more.
            DeviceMemoryError: the device's memory does not hold even this item alone.
            DeadlineExceededError: the deadline passed in the queue.
            ServiceError: what the runner gave for this item, ItemFailedError if it raised.
        """
        self._check_open()
        if len(self._waiting) >= self._limits.queue_capacity:
            self._drop_expired()
        if len(self._waiting) >= self._limits.queue_capacity:
            raise QueueFullError(
                f"{len(self._waiting)} images wait, which is all that the queue holds; retry later"
            )
        entry: Entry[ItemT, ResultT] = Entry(
            item=item,
            key=key,
            cost=cost,
            deadline=deadline,
            queued_at=self._clock(),
            future=asyncio.get_running_loop().create_future(),
        )
        self._waiting.add(entry)
        self._queue_has_changed()
        try:
            return await entry.future
        except asyncio.CancelledError:
            if self._waiting.remove(entry):
                self._observer.item_dropped("cancelled")
                self._queue_has_changed()
            raise
        finally:
            # An error's traceback holds this frame, and the future holds the error: a cycle, which
            # only the garbage collector would end.
            del entry

    def hold(self, *, until_queued: int) -> None:
        """Form no batch before `until_queued` items wait; makes the batches of a test certain."""
        self._held_until = until_queued

    def check_device(self) -> None:
        """Have the watchdog judge the device; its task does so several times a second."""
        if self.has_lost_device:
            return
        state = self._watchdog.judge(self._worker.busy_since)
        if state is DeviceState.LOST:
            self._lose_device(
                f"a batch has been running for more than {self._watchdog.lost_after_seconds:.0f} s"
            )
        elif state is not self._device_state:
            self._device_state = state
            self._observer.device_stalled(is_stalled=state is DeviceState.STALLED)
            if state is DeviceState.STALLED:
                self._answer_all(self._stalled_error)

    async def close(self) -> None:
        """Take no more, answer what is queued with NotReadyError, let running batches finish.

        A device that is lost meanwhile is not waited for.
        """
        self._is_closed = True
        self._answer_queued(
            lambda: NotReadyError("the service stopped; send the request elsewhere")
        )
        while self._batches and not self.has_lost_device:
            await asyncio.wait(self._batches, timeout=_WATCH_SECONDS)
        for handle in (self._forming, self._company_is_due):
            if handle is not None:
                handle.cancel()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def _check_open(self) -> None:
        if self._is_closed:
            raise NotReadyError("the service is stopping; send the request to another replica")
        if self._device_state is DeviceState.STALLED:
            raise self._stalled_error()
        if self.has_lost_device:
            raise _lost_error()

    # --- forming batches ---

    def _form_soon(self) -> None:
        if self._forming is None and len(self._batches) < _MAX_BATCHES_IN_FLIGHT:
            self._forming = asyncio.get_running_loop().call_soon(self._form)

    def _form(self) -> None:
        """Form what batches may be formed; whatever it meets with, nobody waits for ever."""
        if self._company_is_due is not None:
            self._company_is_due.cancel()
            self._company_is_due = None
        try:
            while self._may_form():
                if (wait_seconds := self._seconds_worth_waiting()) > 0:
                    loop = asyncio.get_running_loop()
                    self._company_is_due = loop.call_later(wait_seconds, self._form_soon)
                    return
                self._drop_expired()
                if self._waiting:
                    self._start_batch()
        except Exception:
            logger.exception("the batcher failed; what was queued is answered")
            for entry in self._waiting.take_all():
                entry.fail(ItemFailedError("the batch of this image could not be formed"))
        finally:
            self._forming = None

    def _may_form(self) -> bool:
        if not self._waiting or len(self._batches) >= _MAX_BATCHES_IN_FLIGHT:
            return False
        if self._held_until is not None:
            if len(self._waiting) < self._held_until:
                return False
            self._held_until = None
        return not self._batches or self._waiting.next_batch_is_full()

    def _seconds_worth_waiting(self) -> float:
        if self._limits.max_wait_seconds <= 0 or self._waiting.next_batch_is_full():
            return 0.0
        return self._waiting.oldest().queued_at + self._limits.max_wait_seconds - self._clock()

    def _start_batch(self) -> None:
        answering = self._worker.start(self._waiting.take_next())
        task = asyncio.create_task(self._until_answered(answering), name="batch")
        self._batches.add(task)
        task.add_done_callback(self._batch_is_done)
        self._queue_has_changed()

    async def _until_answered(self, answering: Coroutine[None, None, None]) -> None:
        try:
            await answering
        except DeviceLostError as error:
            self._lose_device(str(error))

    def _batch_is_done(self, task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        self._form_soon()
        self.check_device()  # what was taken for hung may just have come back

    def _drop_expired(self) -> None:
        expired = self._waiting.take_expired(self._clock())
        reasons = [reason for entry in expired if (reason := entry.dismiss())]
        for reason in reasons:
            self._observer.item_dropped(reason)
        if expired:
            self._queue_has_changed()

    def _queue_has_changed(self) -> None:
        self._form_soon()
        self._observer.queue_changed(num_items=len(self._waiting), cost=self._waiting.cost)

    # --- when the device does not answer ---

    async def _watch(self) -> None:
        while True:
            before = self._clock()
            await asyncio.sleep(_WATCH_SECONDS)
            if self._clock() - before > _PAUSED_SECONDS:
                self._watchdog.process_paused()
            try:
                self.check_device()
            except Exception:
                logger.exception("the watchdog failed; it looks again")

    def _lose_device(self, reason: str) -> None:
        if self.has_lost_device:
            return
        self._device_state = DeviceState.LOST
        self._answer_all(_lost_error)
        self._observer.device_lost(reason)

    def _answer_all(self, error: Callable[[], ServiceError]) -> None:
        self._worker.fail_all(error)
        self._answer_queued(error)

    def _answer_queued(self, error: Callable[[], ServiceError]) -> None:
        for entry in self._waiting.take_all():
            entry.fail(error())
        self._queue_has_changed()

    def _stalled_error(self) -> DeviceStalledError:
        return DeviceStalledError(
            f"the device has not answered for {self._watchdog.stalled_after_seconds:.0f} s; send "
            "the request to another replica"
        )


def _lost_error() -> DeviceLostError:
    return DeviceLostError(
        "the device failed and this process is ending; send the request to another replica"
    )
