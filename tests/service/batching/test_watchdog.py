"""A device that hangs: whom it hurts, how it is noticed, and what happens when it comes back."""

import asyncio

import pytest

from service.batching import BatchLimits
from service.batching.watchdog import DeviceState, Watchdog
from service.errors import DeviceLostError, DeviceStalledError
from tests.fakes import ManualClock
from tests.service.batching.bench import Bench, outcomes

pytestmark = pytest.mark.anyio

LIMITS = BatchLimits(max_batch_size=2, max_batch_cost=99, queue_capacity=64, stall_seconds=10)


def test_batch_is_judged_by_the_longest_before_it() -> None:
    clock = ManualClock()
    watchdog = Watchdog(stall_seconds=10, clock=clock)
    began = clock()
    clock.advance(10)
    assert watchdog.judge(began) is DeviceState.ANSWERS
    clock.advance(1)
    assert watchdog.judge(began) is DeviceState.STALLED
    clock.advance(20)
    assert watchdog.judge(began) is DeviceState.LOST
    watchdog.batch_finished(31)
    watchdog.batch_finished(2)
    assert watchdog.judge(began) is DeviceState.ANSWERS  # 31 s are within twice 31 s


def test_idle_device_is_never_taken_for_hung() -> None:
    clock = ManualClock()
    watchdog = Watchdog(stall_seconds=10, clock=clock)
    clock.advance(1e6)
    assert watchdog.judge(None) is DeviceState.ANSWERS


def test_time_in_which_the_process_stood_still_does_not_count() -> None:
    clock = ManualClock()
    watchdog = Watchdog(stall_seconds=10, clock=clock)
    began = clock()
    clock.advance(1000)
    watchdog.process_paused()
    assert watchdog.judge(began) is DeviceState.ANSWERS
    clock.advance(11)
    assert watchdog.judge(began) is DeviceState.STALLED


async def test_pause_of_the_whole_process_is_not_held_against_the_device() -> None:
    clock = ManualClock()
    bench = Bench(LIMITS, clock=clock)
    bench.device.may_finish.clear()
    task = bench.submit("a")
    await asyncio.sleep(1)
    clock.advance(1000)
    await asyncio.sleep(1)
    assert bench.recorder.stalls == bench.recorder.losses == []
    bench.device.may_finish.set()
    assert await outcomes([task]) == ["a!"]


async def test_hung_device_answers_who_runs_who_is_next_and_who_waits() -> None:
    bench = Bench(LIMITS)
    bench.device.may_finish.clear()
    tasks = [bench.submit(str(n)) for n in range(7)]
    started_at = bench.clock()
    found = await outcomes(tasks)
    assert [type(outcome) for outcome in found] == [DeviceStalledError] * 7
    assert 10 < bench.clock() - started_at < 11
    assert bench.recorder.stalls == [True]
    with pytest.raises(DeviceStalledError, match="has not answered for 10 s; send the request"):
        await bench.submit("late")


async def test_device_that_comes_back_serves_again() -> None:
    bench = Bench(LIMITS)
    bench.device.may_finish.clear()
    await outcomes([bench.submit(str(n)) for n in range(3)])
    bench.device.may_finish.set()
    await asyncio.sleep(1)
    assert (await bench.submit("later")).result == "later!"
    assert bench.recorder.stalls == [True, False]
    assert bench.recorder.losses == []


async def test_device_that_stays_away_is_lost_and_does_not_keep_the_batcher_open() -> None:
    bench = Bench(LIMITS)
    bench.device.may_finish.clear()
    await outcomes([bench.submit("a")])
    await asyncio.sleep(30)
    assert bench.recorder.losses == ["a batch has been running for more than 30 s"]
    with pytest.raises(DeviceLostError):
        await bench.submit("late")
    await bench.batcher.close()


async def test_device_that_hangs_while_the_batcher_closes_ends_the_wait() -> None:
    bench = Bench(LIMITS)
    bench.device.may_finish.clear()
    task = bench.submit("a")
    await asyncio.sleep(1)
    await bench.batcher.close()
    assert bench.clock() < 32
    assert [type(outcome) for outcome in await outcomes([task])] == [DeviceStalledError]


async def test_runner_that_never_claims_is_taken_for_hung() -> None:
    bench = Bench(LIMITS)
    bench.device.may_run.clear()
    found = await outcomes([bench.submit("a")])
    assert isinstance(found[0], DeviceStalledError)


async def test_batch_behind_a_long_one_is_not_taken_for_hung() -> None:
    bench = Bench(LIMITS)
    bench.device.base_seconds = 9
    found = await outcomes([bench.submit(str(n)) for n in range(6)])
    assert found == [f"{n}!" for n in range(6)]
    assert bench.recorder.stalls == []
