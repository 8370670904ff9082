"""Random arrivals, departures, deadlines and device failures: what holds whatever happens.

Nothing is lost, nothing answered twice, nothing given to the wrong caller, nobody left waiting; and
nothing runs for a caller who has gone or whose deadline has passed.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from service.batching import BatchLimits
from service.errors import (
    DeadlineExceededError,
    DeviceLostError,
    DeviceStalledError,
    ItemFailedError,
    NotReadyError,
)
from tests.service.batching.bench import Bench, Call
from tests.virtual_time import run_virtually

LIMITS = BatchLimits(max_batch_size=4, max_batch_cost=8, queue_capacity=1000, stall_seconds=10)

# Times are whole milliseconds, so that coincidences are common: two arrivals at once, a deadline
# that passes as the batch starts.
MILLISECONDS = st.integers(0, 60).map(lambda milliseconds: milliseconds / 1000)

ROUNDING_SECONDS = 1e-9


@dataclass(frozen=True)
class Caller:
    """One caller: when it comes, what it brings, when it loses patience or interest."""

    comes_at: float
    key: str
    cost: int
    patience_seconds: float
    leaves_after_seconds: float | None
    fault: str

    @property
    def is_innocent(self) -> bool:
        return self.fault == "none"


@dataclass(frozen=True)
class World:
    """A whole run: the callers and the device's own troubles."""

    callers: list[Caller]
    memory_items: int
    lost_at: float | None
    hangs: tuple[float, float] | None
    closes_at: float | None

    @property
    def is_calm(self) -> bool:
        """Whether no caller may be refused for the service's sake."""
        return self.lost_at is None and self.hangs is None and self.closes_at is None


CALLERS = st.builds(
    Caller,
    comes_at=MILLISECONDS,
    key=st.sampled_from(["x4", "x8"]),
    cost=st.integers(1, 10),
    patience_seconds=st.integers(1, 120).map(lambda milliseconds: milliseconds / 1000),
    leaves_after_seconds=st.one_of(st.none(), st.none(), MILLISECONDS),
    fault=st.sampled_from(["none"] * 6 + ["poison", "bad"]),
)
WORLDS = st.builds(
    World,
    callers=st.lists(CALLERS, min_size=1, max_size=24),
    memory_items=st.sampled_from([1000, 1000, 3, 1]),
    lost_at=st.one_of(st.none(), st.none(), MILLISECONDS),
    hangs=st.one_of(
        st.none(),
        st.none(),
        st.tuples(MILLISECONDS, st.sampled_from([0.005, 12.0, 1000.0])),
    ),
    closes_at=st.one_of(st.none(), st.none(), MILLISECONDS),
)


@given(WORLDS)
@settings(max_examples=150, deadline=None)
def test_every_caller_gets_its_own_answer_once_whatever_happens(world: World) -> None:
    run_virtually(_live_through(world))


async def _live_through(world: World) -> None:
    bench = Bench(LIMITS)
    device = bench.device
    device.base_seconds, device.item_seconds = 0.003, 0.001
    device.memory_items = world.memory_items
    device.poison = {str(n) for n, c in enumerate(world.callers) if c.fault == "poison"}
    device.bad_items = {str(n) for n, c in enumerate(world.callers) if c.fault == "bad"}
    troubles = [asyncio.create_task(trouble) for trouble in _troubles(world, bench)]
    tasks = [
        asyncio.create_task(_call(bench, name=str(number), caller=caller))
        for number, caller in enumerate(world.callers)
    ]
    found = await asyncio.wait_for(outcomes_of(tasks), timeout=600)
    for trouble in troubles:
        trouble.cancel()
    await asyncio.gather(*troubles, return_exceptions=True)
    for number, caller in enumerate(world.callers):
        _check_outcome(str(number), caller, found[number], world)
    _check_calls(world, device.calls)
    await asyncio.wait_for(bench.batcher.close(), timeout=3600)
    assert (bench.recorder.depth, bench.recorder.cost) == (0, 0)
    assert len(bench.recorder.losses) <= 1


async def outcomes_of(tasks: list[asyncio.Task[str]]) -> list[str | BaseException]:
    return await asyncio.gather(*tasks, return_exceptions=True)


async def _call(bench: Bench, *, name: str, caller: Caller) -> str:
    await asyncio.sleep(caller.comes_at)
    deadline = bench.clock() + caller.patience_seconds
    task = bench.submit(name, key=caller.key, cost=caller.cost, deadline=deadline)
    if caller.leaves_after_seconds is not None:
        await asyncio.wait({task}, timeout=caller.leaves_after_seconds)
        task.cancel()
    return (await task).result


def _troubles(world: World, bench: Bench) -> list[Coroutine[None, None, None]]:
    async def lose(at: float) -> None:
        await asyncio.sleep(at)
        bench.device.is_lost = True

    async def hang(at: float, seconds: float) -> None:
        await asyncio.sleep(at)
        bench.device.may_finish.clear()
        await asyncio.sleep(seconds)
        bench.device.may_finish.set()

    async def close(at: float) -> None:
        await asyncio.sleep(at)
        await bench.batcher.close()

    troubles = []
    if world.lost_at is not None:
        troubles.append(lose(world.lost_at))
    if world.hangs is not None:
        troubles.append(hang(*world.hangs))
    if world.closes_at is not None:
        troubles.append(close(world.closes_at))
    return troubles


def _check_outcome(name: str, caller: Caller, outcome: object, world: World) -> None:
    if isinstance(outcome, str):
        assert outcome == f"{name}!"
        assert caller.is_innocent
        return
    allowed: list[type[BaseException]] = [DeadlineExceededError]
    if caller.leaves_after_seconds is not None:
        allowed.append(asyncio.CancelledError)
    if not caller.is_innocent:
        allowed.append(ItemFailedError)
    if world.lost_at is not None:
        allowed.append(DeviceLostError)
    if world.hangs is not None:
        allowed += [DeviceStalledError, DeviceLostError]
    if world.closes_at is not None:
        allowed.append(NotReadyError)
    assert type(outcome) in allowed


def _check_calls(world: World, calls: list[Call]) -> None:
    num_successes = dict.fromkeys(range(len(world.callers)), 0)
    for call in calls:
        callers = [world.callers[int(item)] for item in call.items]
        assert {caller.key for caller in callers} == {call.key}
        assert len(call.items) == len(set(call.items)) <= LIMITS.max_batch_size
        cost = sum(caller.cost for caller in callers)
        assert cost <= LIMITS.max_batch_cost or len(call.items) == 1
        for item, caller in zip(call.items, callers, strict=True):
            waited = call.at - caller.comes_at
            assert -ROUNDING_SECONDS <= waited < caller.patience_seconds + ROUNDING_SECONDS
            if caller.leaves_after_seconds is not None:
                assert waited <= caller.leaves_after_seconds + ROUNDING_SECONDS
            num_successes[int(item)] += call.succeeded
    assert max(num_successes.values()) <= 1
