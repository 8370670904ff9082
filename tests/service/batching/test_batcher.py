import asyncio
from collections.abc import Sequence

import pytest

from service.batching import BatchLimits, Claim, DynamicBatcher
from service.errors import DeadlineExceededError, ItemFailedError, NotReadyError, QueueFullError
from tests.fakes import ManualClock
from tests.service.batching.bench import FOREVER, LIMITS, Bench, Recorder, results, settle

pytestmark = pytest.mark.anyio


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
    await asyncio.sleep(30)
    assert bench.device.batches == []
    await results([first, bench.submit("b")])
    assert bench.device.batches == [["a", "b"]]
    assert bench.device.calls[0].at == 60


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
    await asyncio.sleep(2)
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
    await asyncio.sleep(2)
    bench.device.may_run.set()
    assert await results([first, patient]) == ["first!", "patient!"]
    with pytest.raises(DeadlineExceededError):
        await hurried
    assert bench.device.batches == [["first"], ["patient"]]


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


async def test_fault_of_the_loops_own_body_ends_neither_the_loop_nor_a_wait() -> None:
    class Faulty(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.is_faulty = False

        def item_dropped(self, reason: str) -> None:
            if self.is_faulty:
                raise RuntimeError("a full disk, say")

    async def run(key: str, claim: Claim[str]) -> Sequence[str]:
        return [f"{item}!" for item in claim()]

    clock, observer = ManualClock(), Faulty()
    batcher: DynamicBatcher[str, str] = DynamicBatcher(run, LIMITS, observer=observer, clock=clock)
    batcher.start()
    batcher.hold(until_queued=2)
    expiring = asyncio.create_task(batcher.submit("x4", "a", cost=1, deadline=clock() + 1))
    await settle()
    clock.advance(2)
    observer.is_faulty = True
    beside = asyncio.create_task(batcher.submit("x4", "b", cost=1, deadline=FOREVER))
    gathered = await asyncio.gather(expiring, beside, return_exceptions=True)
    assert [type(outcome) for outcome in gathered] == [DeadlineExceededError, ItemFailedError]
    assert (await batcher.submit("x4", "c", cost=1, deadline=FOREVER)).result == "c!"
