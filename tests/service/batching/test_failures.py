"""What a failing device does to the callers of a batch, and to the batches after it."""

import asyncio
import logging
import math

import pytest

from service.batching import BatchLimits
from service.errors import DeviceLostError, DeviceMemoryError, ItemFailedError
from tests.service.batching.bench import Bench, outcomes, results, settle

pytestmark = pytest.mark.anyio

WIDE = BatchLimits(max_batch_size=64, max_batch_cost=64, queue_capacity=64)


def named(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def answers(count: int) -> list[str]:
    return [f"{number}!" for number in range(count)]


@pytest.mark.parametrize("size", [2, 3, 7, 16, 33])
async def test_poisoned_item_fails_alone_wherever_it_stands(size: int) -> None:
    for guilty in {0, size // 2, size - 1}:
        bench = Bench(WIDE)
        bench.device.poison = {str(guilty)}
        found = await outcomes(bench.submit_held(named(size)))
        assert isinstance(found.pop(guilty), ItemFailedError)
        assert found == [answer for answer in answers(size) if answer != f"{guilty}!"]
        assert len(bench.device.batches) <= 1 + 2 * math.ceil(math.log2(size))
        assert bench.recorder.num_failed == 1


async def test_every_guilty_item_is_found_among_many() -> None:
    bench = Bench(WIDE)
    bench.device.poison = {"1", "2", "13"}
    found = await outcomes(bench.submit_held(named(16)))
    assert [n for n, o in enumerate(found) if isinstance(o, ItemFailedError)] == [1, 2, 13]
    assert bench.recorder.num_failed == 3


async def test_traceback_is_logged_once_for_the_guilty_item(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(WIDE)
    bench.device.poison = {"5"}
    with caplog.at_level(logging.WARNING):
        await outcomes(bench.submit_held(named(8)))
    assert [record.exc_info is not None for record in caplog.records] == [False] * 3 + [True]
    assert "RuntimeError: a kernel failed" in caplog.text


async def test_item_may_fail_inside_a_batch_that_succeeds() -> None:
    bench = Bench()
    bench.device.bad_items = {"b"}
    found = await outcomes(bench.submit_held(["a", "b", "c"]))
    assert isinstance(found.pop(1), ItemFailedError)
    assert found == ["a!", "c!"]
    assert len(bench.device.batches) == 1


async def test_caller_who_leaves_during_a_retry_is_not_run_again() -> None:
    bench = Bench()
    bench.device.poison = {"0"}
    bench.device.base_seconds = 1
    tasks = bench.submit_held(named(4))
    await asyncio.sleep(0.5)
    tasks[3].cancel()
    await outcomes(tasks)
    assert ["3" in call.items for call in bench.device.calls[1:]] == [False] * 4
    assert bench.recorder.dropped == ["cancelled"]


# --- too little memory ---


async def test_batch_over_the_memory_is_run_in_parts_that_fit() -> None:
    bench = Bench()
    bench.device.memory_items = 4
    assert await results(bench.submit_held(named(16))) == answers(16)
    assert [len(batch) for batch in bench.device.batches] == [16, 8, 4, 4, 4, 4]
    assert bench.recorder.num_split == 2
    assert bench.recorder.num_failed == 0


async def test_next_batches_are_formed_no_larger_than_what_fitted() -> None:
    bench = Bench()
    bench.device.memory_items = 4
    await results(bench.submit_held(named(16)))
    bench.device.calls.clear()
    assert await results(bench.submit_held(named(16))) == answers(16)
    assert [len(batch) for batch in bench.device.batches] == [4, 4, 4, 4]


async def test_cap_rises_again_when_the_memory_is_back() -> None:
    bench = Bench()
    bench.device.memory_items = 4
    await results(bench.submit_held(named(16)))
    bench.device.memory_items = 1000
    await asyncio.sleep(60)
    bench.device.calls.clear()
    await results(bench.submit_held(named(16)))
    assert [len(batch) for batch in bench.device.batches] == [8, 8]
    await asyncio.sleep(60)
    bench.device.calls.clear()
    await results(bench.submit_held(named(16)))
    assert [len(batch) for batch in bench.device.batches] == [16]


async def test_cap_of_one_key_leaves_others_alone() -> None:
    bench = Bench()
    bench.device.memory_items = 2
    await results(bench.submit_held(named(4)))
    bench.device.memory_items = 1000
    bench.device.calls.clear()
    bench.batcher.hold(until_queued=8)
    await results([bench.submit(name, key="x8") for name in named(8)])
    assert [len(batch) for batch in bench.device.batches] == [8]


async def test_item_that_alone_is_too_large_may_be_retried_later() -> None:
    bench = Bench()
    bench.device.memory_items = 0
    with pytest.raises(DeviceMemoryError, match="memory is full"):
        await bench.submit("a")
    assert bench.recorder.num_failed == 0  # nothing is wrong with the item


async def test_poison_is_found_in_a_device_short_of_memory() -> None:
    bench = Bench()
    bench.device.memory_items = 3
    bench.device.poison = {"6"}
    found = await outcomes(bench.submit_held(named(12)))
    assert isinstance(found.pop(6), ItemFailedError)
    assert found == [answer for answer in answers(12) if answer != "6!"]


# --- a lost device ---


async def test_lost_device_answers_everybody_and_takes_no_more() -> None:
    bench = Bench(BatchLimits(max_batch_size=2, max_batch_cost=99, queue_capacity=64))
    bench.device.may_run.clear()
    tasks = [bench.submit(name) for name in named(7)]
    await settle()
    bench.device.is_lost = True
    bench.device.may_run.set()
    found = await outcomes(tasks)
    assert [type(outcome) for outcome in found] == [DeviceLostError] * 7
    with pytest.raises(DeviceLostError, match="send the request to another replica"):
        await bench.submit("late")
    assert bench.batcher.has_lost_device
    assert bench.recorder.losses == ["an illegal access"]
    assert bench.recorder.depth == 0
    await bench.batcher.close()
