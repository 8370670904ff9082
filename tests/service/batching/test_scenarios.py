"""A service's life in virtual time on a device that takes 5 + n ms: what callers get out of it."""

import asyncio
import random

import pytest

from service.batching import BatchLimits
from tests.service.batching.bench import Bench, results

pytestmark = pytest.mark.anyio

BASE_SECONDS, ITEM_SECONDS = 0.005, 0.001


def busy_bench(*, max_batch_cost: int = 16, queue_capacity: int = 64) -> Bench:
    bench = Bench(
        BatchLimits(max_batch_size=16, max_batch_cost=max_batch_cost, queue_capacity=queue_capacity)
    )
    bench.device.base_seconds, bench.device.item_seconds = BASE_SECONDS, ITEM_SECONDS
    return bench


async def test_lone_caller_waits_for_the_bare_call_and_no_longer() -> None:
    bench = busy_bench()
    for number in range(50):
        started_at = bench.clock()
        await bench.submit(str(number))
        assert bench.clock() - started_at == pytest.approx(BASE_SECONDS + ITEM_SECONDS)
        await asyncio.sleep(0.02)


async def test_busy_device_is_never_idle_while_anybody_waits() -> None:
    bench = busy_bench(queue_capacity=2000)
    await results([bench.submit(str(number)) for number in range(1600)])
    assert bench.clock() == pytest.approx(100 * BASE_SECONDS + 1600 * ITEM_SECONDS)


async def test_mixed_sizes_never_exceed_the_budget() -> None:
    bench = busy_bench(max_batch_cost=40, queue_capacity=600)
    rng = random.Random(0)
    costs = {str(number): rng.choice([1, 4, 9, 16, 30, 64]) for number in range(600)}
    await results([bench.submit(name, cost=cost) for name, cost in costs.items()])
    for batch in bench.device.batches:
        assert sum(costs[name] for name in batch) <= 40 or len(batch) == 1
    assert sorted(name for batch in bench.device.batches for name in batch) == sorted(costs)


async def test_ten_thousand_at_once_get_each_their_own() -> None:
    bench = busy_bench(queue_capacity=10_000)
    tasks = [bench.submit(str(number)) for number in range(10_000)]
    assert await results(tasks) == [f"{number}!" for number in range(10_000)]
    assert len(bench.device.batches) <= 10_000 / 16 + 2
    assert bench.recorder.depth == 0


async def test_nothing_runs_for_the_half_that_left() -> None:
    bench = busy_bench(queue_capacity=2000)
    rng = random.Random(0)
    tasks = [bench.submit(str(number)) for number in range(2000)]
    await asyncio.sleep(0)
    leaving = rng.sample(range(100, 2000), 1000)

    async def leave(number: int) -> None:
        await asyncio.sleep(rng.random() * 0.05)
        tasks[number].cancel()

    departures = [asyncio.create_task(leave(number)) for number in leaving]
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*departures)
    ran = {name for batch in bench.device.batches for name in batch}
    gone = {str(number) for number in leaving if tasks[number].cancelled()}
    assert len(gone) > 900
    assert len(ran & gone) <= 0.01 * len(gone)
    assert bench.recorder.dropped.count("cancelled") == len(gone - ran)
