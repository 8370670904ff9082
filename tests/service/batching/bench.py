"""A batcher with a device whose costs and failures are set, and what was seen of both."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.batching import Batched, BatchLimits, Claim, DynamicBatcher
from service.errors import DeviceLostError, DeviceMemoryError, ItemFailedError, ServiceError

FOREVER = float("inf")
LIMITS = BatchLimits(max_batch_size=16, max_batch_cost=16, queue_capacity=64)


class Recorder:
    """Observes the batcher."""

    def __init__(self) -> None:
        self.depth = 0
        self.cost = 0
        self.finished: list[int] = []
        self.dropped: list[str] = []
        self.num_failed = 0
        self.num_split = 0
        self.stalls: list[bool] = []
        self.losses: list[str] = []

    def queue_changed(self, *, num_items: int, cost: int) -> None:
        self.depth, self.cost = num_items, cost

    def batch_finished(self, *, num_items: int, run_seconds: float) -> None:
        self.finished.append(num_items)

    def item_dropped(self, reason: str) -> None:
        self.dropped.append(reason)

    def item_failed(self) -> None:
        self.num_failed += 1

    def batch_split(self) -> None:
        self.num_split += 1

    def device_stalled(self, *, is_stalled: bool) -> None:
        self.stalls.append(is_stalled)

    def device_lost(self, reason: str) -> None:
        self.losses.append(reason)


@dataclass
class Call:
    """One batch that the device was given, and whether it gave results for it."""

    key: str
    items: list[str]
    at: float
    succeeded: bool = False


class Device:
    """Runs batches one by one, as a device does; answers "<item>!" for each item.

    Attributes:
        calls: every batch that began, in order; `batches` has their items.
        may_run: cleared, the device hangs before it claims its next batch.
        may_finish: cleared, it hangs inside its batch.
        base_seconds, item_seconds: what a batch costs.
        poison: items that make their whole batch raise.
        bad_items: items that fail alone inside a batch that succeeds.
        memory_items: a batch of more does not fit.
        is_lost: every batch raises DeviceLostError.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.calls: list[Call] = []
        self.may_run = asyncio.Event()
        self.may_run.set()
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.base_seconds = 0.0
        self.item_seconds = 0.0
        self.poison: set[str] = set()
        self.bad_items: set[str] = set()
        self.memory_items = 1000
        self.is_lost = False
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    @property
    def batches(self) -> list[list[str]]:
        return [call.items for call in self.calls]

    async def __call__(self, key: str, claim: Claim[str]) -> Sequence[str | ServiceError]:
        async with self._one_at_a_time:
            await self.may_run.wait()
            items = list(claim())
            if not items:
                return []
            call = Call(key, items, at=self._clock())
            self.calls.append(call)
            await asyncio.sleep(self.base_seconds + self.item_seconds * len(items))
            await self.may_finish.wait()
            answer = self._answer(items)
            call.succeeded = True
            return answer

    def _answer(self, items: list[str]) -> list[str | ServiceError]:
        if self.is_lost:
            raise DeviceLostError("an illegal access")
        if len(items) > self.memory_items:
            raise DeviceMemoryError("the memory is full")
        if self.poison & set(items):
            raise RuntimeError("a kernel failed")
        return [ItemFailedError(i) if i in self.bad_items else f"{i}!" for i in items]


class Bench:
    """A started batcher with its device and observer, on the loop's clock or another."""

    def __init__(
        self, limits: BatchLimits = LIMITS, *, clock: Callable[[], float] | None = None
    ) -> None:
        self.clock = clock or asyncio.get_running_loop().time
        self.device = Device(self.clock)
        self.recorder = Recorder()
        self.batcher: DynamicBatcher[str, str] = DynamicBatcher(
            self.device, limits, observer=self.recorder, clock=self.clock
        )
        self.batcher.start()

    def submit(
        self, item: str, *, key: str = "x4", cost: int = 1, deadline: float = FOREVER
    ) -> asyncio.Task[Batched[str]]:
        return asyncio.create_task(
            self.batcher.submit(key, item, cost=cost, deadline=deadline), name=item
        )

    def submit_held(self, names: Sequence[str]) -> list[asyncio.Task[Batched[str]]]:
        """Submit items that go into one batch, if it can hold them."""
        self.batcher.hold(until_queued=len(names))
        return [self.submit(name) for name in names]

    async def busy(self) -> asyncio.Task[Batched[str]]:
        """Occupy the device with one item until `may_run` is set again."""
        self.device.may_run.clear()
        task = self.submit("first")
        await settle()
        return task


async def settle() -> None:
    """Let every task run until all of them wait for something."""
    for _ in range(20):
        await asyncio.sleep(0)


async def results(tasks: Sequence[asyncio.Task[Batched[str]]]) -> list[str]:
    return [batched.result for batched in await asyncio.gather(*tasks)]


async def outcomes(tasks: Sequence[asyncio.Task[Batched[str]]]) -> list[str | BaseException]:
    """Each caller's result, or what it raised."""
    gathered = await asyncio.gather(*tasks, return_exceptions=True)
    return [o.result if isinstance(o, Batched) else o for o in gathered]
