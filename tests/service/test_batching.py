import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.batching import Batched, BatchLimits, Claim, DynamicBatcher
from service.errors import (
    DeadlineExceededError,
    ItemFailedError,
    NotReadyError,
    QueueFullError,
    ServiceError,
)
from tests.fakes import ManualClock

pytestmark = pytest.mark.anyio

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

    def queue_changed(self, *, num_items: int, cost: int) -> None:
        self.depth, self.cost = num_items, cost

    def batch_finished(self, *, num_items: int, run_seconds: float) -> None:
        self.finished.append(num_items)

    def item_dropped(self, reason: str) -> None:
        self.dropped.append(reason)

    def item_failed(self) -> None:
        self.num_failed += 1


class Device:
    """Runs batches one by one, as a device does; answers "<item>!" for each item."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may_run = asyncio.Event()
        self.may_run.set()
        self.poison: set[str] = set()
        self.bad_items: set[str] = set()
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, key: str, claim: Claim[str]) -> Sequence[str | ServiceError]:
        async with self._one_at_a_time:
            await self.may_run.wait()
            items = list(claim())
            self.batches.append(items)
            await asyncio.sleep(0)
            if self.poison & set(items):
                raise RuntimeError("a kernel failed")
            return [ItemFailedError(i) if i in self.bad_items else f"{i}!" for i in items]


class Bench:
    """A started batcher with its device, observer and clock."""

    def __init__(self, limits: BatchLimits = LIMITS) -> None:
        self.device = Device()
        self.recorder = Recorder()
        self.clock = ManualClock()
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


async def test_lone_item_runs_at_once() -> None:
    bench = Bench()
    batched = await bench.submit("a")
    assert batched.result == "a!"
    assert batched.queue_seconds == 0
    assert bench.device.batches == [["a"]]


async def test_sixteen_held_items_are_one_forward_pass() -> None:
    bench = Bench()
    bench.batcher.hold(until_queued=16)
    tasks = [bench.submit(str(n)) for n in range(15)]
    await settle()
    assert bench.device.batches == []
    tasks.append(bench.submit("15"))
    assert await results(tasks) == [f"{n}!" for n in range(16)]
    assert [len(batch) for batch in bench.device.batches] == [16]


async def test_seventeen_held_items_are_sixteen_and_one() -> None:
    bench = Bench()
    bench.batcher.hold(until_queued=17)
    await results([bench.submit(str(n)) for n in range(17)])
    assert [len(batch) for batch in bench.device.batches] == [16, 1]


async def test_batch_grows_while_the_device_is_busy() -> None:
    bench = Bench()
    first = await bench.busy()
    early = bench.submit("early")
    await settle()
    late = bench.submit("late")
    await settle()
    bench.device.may_run.set()
    await results([first, early, late])
    assert bench.device.batches == [["first"], ["early", "late"]]


async def test_full_batch_is_ready_before_the_device_is_free() -> None:
    bench = Bench(BatchLimits(max_batch_size=2, max_batch_cost=99, queue_capacity=64))
    first = await bench.busy()
    tasks = [bench.submit(name) for name in "abcd"]
    await settle()
    assert bench.recorder.depth == 2  # "ab" stands behind the running batch, "cd" still waits
    bench.device.may_run.set()
    await results([first, *tasks])
    assert bench.device.batches == [["first"], ["a", "b"], ["c", "d"]]


async def test_batches_stay_within_their_budget() -> None:
    bench = Bench(BatchLimits(max_batch_size=16, max_batch_cost=10, queue_capacity=64))
    bench.batcher.hold(until_queued=4)
    await results([bench.submit(name, cost=4) for name in "abcd"])
    assert bench.device.batches == [["a", "b"], ["c", "d"]]


async def test_item_over_the_budget_runs_alone() -> None:
    bench = Bench(BatchLimits(max_batch_size=16, max_batch_cost=10, queue_capacity=64))
    bench.batcher.hold(until_queued=3)
    await results([bench.submit("huge", cost=50), bench.submit("a"), bench.submit("b")])
    assert bench.device.batches == [["huge"], ["a", "b"]]


async def test_only_items_of_one_key_share_a_batch() -> None:
    bench = Bench()
    bench.batcher.hold(until_queued=4)
    tasks = [bench.submit(name, key=key) for name, key in zip("abcd", ["x", "y"] * 2, strict=True)]
    assert await results(tasks) == ["a!", "b!", "c!", "d!"]
    assert bench.device.batches == [["a", "c"], ["b", "d"]]


async def test_idle_device_waits_for_company_when_told_to() -> None:
    bench = Bench(
        BatchLimits(max_batch_size=16, max_batch_cost=16, queue_capacity=64, max_wait_seconds=60)
    )
    first = bench.submit("a")
    await settle()
    assert bench.device.batches == []
    bench.clock.advance(60)
    await results([first, bench.submit("b")])
    assert bench.device.batches == [["a", "b"]]


async def test_full_batch_does_not_wait_for_more() -> None:
    bench = Bench(
        BatchLimits(max_batch_size=2, max_batch_cost=16, queue_capacity=64, max_wait_seconds=60)
    )
    await results([bench.submit("a"), bench.submit("b")])
    assert bench.device.batches == [["a", "b"]]


async def test_full_queue_refuses() -> None:
    bench = Bench(BatchLimits(max_batch_size=16, max_batch_cost=99, queue_capacity=2))
    first = await bench.busy()
    waiting = [bench.submit("a"), bench.submit("b")]
    await settle()
    with pytest.raises(QueueFullError, match="2 images wait, which is all that the queue holds"):
        await bench.submit("c")
    bench.device.may_run.set()
    assert await results([first, *waiting]) == ["first!", "a!", "b!"]


async def test_cancelled_item_frees_its_place_and_is_not_run() -> None:
    bench = Bench(BatchLimits(max_batch_size=16, max_batch_cost=99, queue_capacity=1))
    first = await bench.busy()
    leaving = bench.submit("leaving")
    await settle()
    leaving.cancel()
    await settle()
    staying = bench.submit("staying")
    await settle()
    bench.device.may_run.set()
    await results([first, staying])
    assert bench.device.batches == [["first"], ["staying"]]
    assert bench.recorder.dropped == ["cancelled"]


async def test_expired_item_is_answered_and_not_run() -> None:
    bench = Bench()
    first = await bench.busy()
    hurried = bench.submit("hurried", deadline=bench.clock() + 1)
    patient = bench.submit("patient")
    await settle()
    bench.clock.advance(2)
    bench.device.may_run.set()
    await results([first, patient])
    with pytest.raises(DeadlineExceededError, match="deadline passed while the image waited"):
        await hurried
    assert bench.device.batches == [["first"], ["patient"]]
    assert bench.recorder.dropped == ["expired"]


async def test_item_that_expires_in_a_prefetched_batch_is_not_run() -> None:
    bench = Bench(BatchLimits(max_batch_size=2, max_batch_cost=99, queue_capacity=64))
    first = await bench.busy()
    hurried = bench.submit("hurried", deadline=bench.clock() + 1)
    patient = bench.submit("patient")
    await settle()
    assert bench.recorder.depth == 0  # both have left the queue for the batch that runs next
    bench.clock.advance(2)
    bench.device.may_run.set()
    assert await results([first, patient]) == ["first!", "patient!"]
    with pytest.raises(DeadlineExceededError):
        await hurried
    assert bench.device.batches == [["first"], ["patient"]]


async def test_poisoned_item_fails_alone() -> None:
    bench = Bench()
    bench.device.poison = {"5"}
    bench.batcher.hold(until_queued=16)
    tasks = [bench.submit(str(n)) for n in range(16)]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[5], ItemFailedError)
    innocent = [o.result for o in outcomes if isinstance(o, Batched)]
    assert innocent == [f"{n}!" for n in range(16) if n != 5]
    assert len(bench.device.batches) == 1 + 2 * 4  # 2 log2 16 more calls
    assert bench.recorder.num_failed == 1


async def test_item_may_fail_inside_a_batch_that_succeeds() -> None:
    bench = Bench()
    bench.device.bad_items = {"b"}
    bench.batcher.hold(until_queued=3)
    tasks = [bench.submit(name) for name in "abc"]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[1], ItemFailedError)
    assert [o.result for o in outcomes if isinstance(o, Batched)] == ["a!", "c!"]
    assert len(bench.device.batches) == 1


async def test_runner_that_answers_too_little_hurts_nobody_else() -> None:
    async def run(key: str, claim: Claim[str]) -> Sequence[str]:
        return [f"{item}!" for item in claim()][:1]

    batcher: DynamicBatcher[str, str] = DynamicBatcher(
        run, LIMITS, observer=Recorder(), clock=ManualClock()
    )
    batcher.start()
    batcher.hold(until_queued=2)
    answers = await asyncio.gather(
        *(batcher.submit("x4", item, cost=1, deadline=FOREVER) for item in "ab")
    )
    assert [answer.result for answer in answers] == ["a!", "b!"]


async def test_runner_that_never_claims_is_an_error_and_nobody_hangs() -> None:
    async def run(key: str, claim: Claim[str]) -> Sequence[str]:
        return []

    batcher: DynamicBatcher[str, str] = DynamicBatcher(
        run, LIMITS, observer=Recorder(), clock=ManualClock()
    )
    batcher.start()
    with pytest.raises(ItemFailedError, match="model failed"):
        await batcher.submit("x4", "a", cost=1, deadline=FOREVER)


async def test_close_answers_what_is_queued_and_lets_the_running_batch_finish() -> None:
    bench = Bench()
    first = await bench.busy()
    queued = bench.submit("queued")
    await settle()
    closing = asyncio.create_task(bench.batcher.close())
    with pytest.raises(NotReadyError, match="the service stopped"):
        await queued
    bench.device.may_run.set()
    await closing
    assert (await first).result == "first!"
    with pytest.raises(NotReadyError, match="stopping"):
        await bench.submit("late")


async def test_times_are_the_wait_and_the_run() -> None:
    clock = ManualClock()

    async def run(key: str, claim: Claim[str]) -> Sequence[str]:
        clock.advance(2)
        items = claim()
        clock.advance(3)
        return items

    batcher: DynamicBatcher[str, str] = DynamicBatcher(
        run, LIMITS, observer=Recorder(), clock=clock
    )
    batcher.start()
    batched = await batcher.submit("x4", "a", cost=1, deadline=FOREVER)
    assert (batched.queue_seconds, batched.run_seconds) == (2, 3)


Step = tuple[str, int]


@given(
    st.lists(
        st.tuples(st.sampled_from(["submit", "cancel", "expire", "poison", "run"]), st.integers(0)),
        max_size=40,
    )
)
def test_every_caller_gets_its_own_answer_whatever_happens(steps: list[Step]) -> None:
    asyncio.run(_walk(steps))


async def _walk(steps: list[Step]) -> None:
    bench = Bench(BatchLimits(max_batch_size=4, max_batch_cost=8, queue_capacity=1000))
    tasks: list[asyncio.Task[Batched[str]]] = []
    await bench.busy()
    for number, (action, value) in enumerate(steps):
        name = f"item{number}"
        chosen = tasks[value % len(tasks)] if tasks else None
        match action:
            case "submit":
                deadline = bench.clock() + 1 + value % 3
                tasks.append(
                    bench.submit(name, key="xy"[value % 2], cost=1 + value % 3, deadline=deadline)
                )
            case "cancel" if chosen is not None:
                chosen.cancel()
            case "poison" if chosen is not None:
                bench.device.poison.add(chosen.get_name())
            case "expire":
                bench.clock.advance(1)
            case "run":
                bench.device.may_run.set()
        await settle()
        bench.device.may_run.clear()
    bench.device.may_run.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    await bench.batcher.close()
    ran = [item for batch in bench.device.batches for item in batch]
    for task, outcome in zip(tasks, outcomes, strict=True):
        if isinstance(outcome, Batched):
            assert outcome.result == f"{task.get_name()}!"
        elif isinstance(outcome, ItemFailedError):
            assert task.get_name() in bench.device.poison
        elif isinstance(outcome, DeadlineExceededError):
            assert task.get_name() not in ran
        else:
            assert isinstance(outcome, asyncio.CancelledError)
    if not bench.device.poison:
        assert len(ran) == len(set(ran))
    assert bench.recorder.depth == 0
