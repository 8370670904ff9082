import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from service.admission import Admission
from service.batching import BatchLimits
from service.errors import OverloadedError
from tests.fakes import ManualClock
from tests.service.batching.bench import Bench
from tests.virtual_time import run_virtually


class HalfRandom(random.Random):
    """Draws 0.5 always."""

    def random(self) -> float:
        return 0.5


def admission(capacity: int = 10) -> tuple[Admission, list[int]]:
    seen: list[int] = []
    return Admission(capacity, rng=HalfRandom(), clock=ManualClock(), on_change=seen.append), seen


def refusal(gate: Admission, cost: int = 1) -> OverloadedError:
    with pytest.raises(OverloadedError) as info:
        gate.check_room(cost)
    return info.value


def test_work_within_the_capacity_is_let_in_and_counted() -> None:
    gate, seen = admission()
    with gate.admit(4), gate.admit(6):
        assert seen == [4, 10]
    assert seen == [4, 10, 4, 0]


def test_work_over_the_capacity_is_refused_with_numbers_and_a_time() -> None:
    gate, _ = admission()
    with (
        gate.admit(8),
        pytest.raises(OverloadedError, match=r"8 images .* 3 more would exceed the 10") as info,
        gate.admit(3),
    ):
        pass
    assert info.value.retry_after_seconds == 1


def test_room_may_be_asked_for_without_taking_it() -> None:
    gate, seen = admission()
    gate.check_room(10)
    assert seen == []
    assert "1 more would exceed" in str(_refused_when_full(gate))


def _refused_when_full(gate: Admission) -> OverloadedError:
    with gate.admit(10):
        return refusal(gate)


def test_place_is_free_again_after_a_failure() -> None:
    gate, seen = admission()
    with pytest.raises(RuntimeError), gate.admit(10):
        raise RuntimeError
    assert seen[-1] == 0


def test_retry_after_is_the_backlog_at_the_measured_rate_and_a_random_part_of_a_second() -> None:
    gate, _ = admission(20)
    gate.batch_finished(num_items=4, run_seconds=2.0)
    with gate.admit(20):
        # 20 images of 0.5 s each, one more of its own, half a second at random.
        assert refusal(gate).retry_after_seconds == 11


def test_refused_callers_are_booked_one_behind_the_other() -> None:
    gate, _ = admission(20)
    gate.batch_finished(num_items=1, run_seconds=0.5)
    with gate.admit(20):
        times = [refusal(gate).retry_after_seconds for _ in range(10)]
    assert times == [11, 12, 12, 13, 13, 14, 14, 15, 15, 16]


def test_dear_work_is_booked_for_as_long_as_it_takes() -> None:
    gate, _ = admission(20)
    gate.batch_finished(num_items=1, run_seconds=0.5)
    with gate.admit(20):
        assert refusal(gate, cost=10).retry_after_seconds == 16
        assert refusal(gate, cost=1).retry_after_seconds == 16


def test_no_more_are_booked_into_a_second_than_fit_at_once() -> None:
    gate, _ = admission(10)
    gate.batch_finished(num_items=1000, run_seconds=1.0)
    with gate.admit(10):
        times = [refusal(gate).retry_after_seconds for _ in range(40)]
    assert max(times.count(second) for second in set(times)) <= 10


def test_flood_of_refusals_sends_nobody_away_for_longer_than_a_minute() -> None:
    gate, _ = admission(10)
    gate.batch_finished(num_items=1, run_seconds=1.0)
    with gate.admit(10):
        assert max(refusal(gate).retry_after_seconds for _ in range(1000)) == 60


def test_rate_follows_the_newest_batches() -> None:
    gate, _ = admission(10)
    gate.batch_finished(num_items=1, run_seconds=10.0)
    for _ in range(60):
        gate.batch_finished(num_items=1, run_seconds=1.0)
    with gate.admit(10):
        assert refusal(gate).retry_after_seconds == 12


# --- a service's life in virtual time: 5 + n ms a batch of up to 16, so 762 images a second ---

PEAK_RATE = 16 / 0.021


@dataclass
class Service:
    """Admission in front of a batcher."""

    capacity: int
    bench: Bench = field(init=False)
    gate: Admission = field(init=False)
    most_inside: int = 0

    def __post_init__(self) -> None:
        limits = BatchLimits(max_batch_size=16, max_batch_cost=16, queue_capacity=self.capacity + 1)
        self.bench = Bench(limits)
        self.bench.device.base_seconds, self.bench.device.item_seconds = 0.005, 0.001
        self.gate = Admission(
            self.capacity,
            rng=random.Random(0),
            clock=self.bench.clock,
            on_change=self._note,
        )
        finished = self.bench.recorder.batch_finished

        def learn(*, num_items: int, run_seconds: float) -> None:
            finished(num_items=num_items, run_seconds=run_seconds)
            self.gate.batch_finished(num_items=num_items, run_seconds=run_seconds)

        self.bench.recorder.batch_finished = learn  # type: ignore[method-assign]

    async def upscale(self, name: str) -> str:
        with self.gate.admit(1):
            return (await self.bench.submit(name)).result

    def _note(self, inside: int) -> None:
        self.most_inside = max(self.most_inside, inside)


async def open_loop(service: Service, *, rate: float, seconds: float) -> list[str]:
    """Callers who come at random whatever happens to the others; what became of each."""
    rng = random.Random(1)
    outcomes: list[str] = []

    async def call(number: int) -> None:
        started_at = service.bench.clock()
        try:
            await service.upscale(str(number))
            outcomes.append("done")
        except OverloadedError as error:
            assert error.retry_after_seconds >= 1
            assert service.bench.clock() == started_at
            outcomes.append("refused")

    async with asyncio.TaskGroup() as group:
        for number in range(round(rate * seconds)):
            group.create_task(call(number))
            await asyncio.sleep(rng.expovariate(rate))
    return outcomes


def test_five_times_too_much_leaves_the_goodput_at_its_peak() -> None:
    async def run() -> None:
        service = Service(capacity=64)
        outcomes = await open_loop(service, rate=5 * PEAK_RATE, seconds=1.5)
        goodput = outcomes.count("done") / service.bench.clock()
        assert goodput >= 0.9 * PEAK_RATE
        assert outcomes.count("refused") == len(outcomes) - outcomes.count("done") > 0
        assert service.most_inside == 64

    run_virtually(run())


@pytest.mark.parametrize(("num_callers", "spread_seconds"), [(600, 0.0), (600, 0.5), (2000, 2.0)])
def test_callers_who_obey_retry_after_succeed_at_their_first_retry(
    num_callers: int, spread_seconds: float
) -> None:
    async def run() -> None:
        service = Service(capacity=127)
        retried: list[bool] = []
        await service.upscale("so that the rate is known")

        async def call(number: int, wait: Callable[[], float]) -> None:
            await asyncio.sleep(wait())
            try:
                await service.upscale(str(number))
            except OverloadedError as error:
                await asyncio.sleep(error.retry_after_seconds)
                try:
                    await service.upscale(str(number))
                    retried.append(True)
                except OverloadedError:
                    retried.append(False)

        rng = random.Random(2)
        async with asyncio.TaskGroup() as group:
            for number in range(num_callers):
                group.create_task(call(number, lambda: rng.random() * spread_seconds))
        assert len(retried) > 100
        assert sum(retried) / len(retried) >= 0.9

    run_virtually(run())
