"""Callers who come, leave and lose patience at any time, in virtual time.

Nobody hangs; everybody gets the answer of their own key; of each key at most one piece of work is
under way; and work goes on as long as somebody waits, and no longer.
"""

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from service.cache.single_flight import SingleFlight
from tests.virtual_time import run_virtually

MILLISECONDS = st.integers(0, 30).map(lambda milliseconds: milliseconds / 1000)


@dataclass
class Work:
    """One piece of work: when it began and ended, and whether it came to an answer."""

    began_at: float
    ended_at: float = float("inf")
    is_answered: bool = False


@dataclass
class Kitchen:
    """Makes answers, which takes time also when it is told to stop."""

    work_seconds: float = 0.01
    stopping_seconds: float = 0.0
    works: dict[str, list[Work]] = field(default_factory=dict)
    num_under_way: dict[str, int] = field(default_factory=dict)
    failing: frozenset[str] = frozenset()

    async def make(self, key: str) -> str:
        now = asyncio.get_running_loop().time
        work = Work(began_at=now())
        self.works.setdefault(key, []).append(work)
        self.num_under_way[key] = self.num_under_way.get(key, 0) + 1
        assert self.num_under_way[key] == 1
        try:
            await asyncio.sleep(self.work_seconds)
            if key in self.failing:
                raise RuntimeError(f"no {key}")
            work.is_answered = True
            return f"{key} of {work.began_at:.3f}"
        except asyncio.CancelledError:
            await asyncio.sleep(self.stopping_seconds)
            raise
        finally:
            self.num_under_way[key] -= 1
            work.ended_at = now()


async def order(flights: SingleFlight[str], kitchen: Kitchen, key: str) -> str:
    await flights.let_abandoned_end([key])
    with flights.boarded(key, lambda: kitchen.make(key), during=nullcontext) as work:
        await asyncio.wait({work})
        return work.result()


@dataclass(frozen=True)
class Caller:
    key: str
    comes_at: float
    leaves_after: float | None
    patience: float


CALLERS = st.builds(
    Caller,
    key=st.sampled_from(["a", "b", "bad"]),
    comes_at=MILLISECONDS,
    leaves_after=st.one_of(st.none(), MILLISECONDS),
    patience=st.one_of(st.just(1.0), MILLISECONDS),
)


@given(st.lists(CALLERS, min_size=1, max_size=12), MILLISECONDS, MILLISECONDS)
@settings(max_examples=200, deadline=None)
def test_everybody_gets_the_answer_of_their_own_key_whoever_leaves(
    callers: list[Caller], work_seconds: float, stopping_seconds: float
) -> None:
    run_virtually(_live_through(callers, work_seconds, stopping_seconds))


async def _live_through(
    callers: list[Caller], work_seconds: float, stopping_seconds: float
) -> None:
    kitchen = Kitchen(work_seconds, stopping_seconds, failing=frozenset({"bad"}))
    flights: SingleFlight[str] = SingleFlight()

    async def call(caller: Caller) -> str:
        await asyncio.sleep(caller.comes_at)
        async with asyncio.timeout(caller.patience):
            return await order(flights, kitchen, caller.key)

    async def live(caller: Caller) -> str | BaseException:
        task = asyncio.create_task(call(caller))
        if caller.leaves_after is not None:
            await asyncio.wait({task}, timeout=caller.comes_at + caller.leaves_after)
            task.cancel()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    outcomes = await asyncio.gather(*(live(caller) for caller in callers))
    for caller, outcome in zip(callers, outcomes, strict=True):
        stays = caller.leaves_after is None and caller.patience == 1.0
        if isinstance(outcome, str):
            assert outcome.startswith(f"{caller.key} of ")
        elif isinstance(outcome, RuntimeError):
            assert caller.key == "bad"
        else:
            assert isinstance(outcome, TimeoutError | asyncio.CancelledError)
            assert not stays
    await asyncio.sleep(1)
    assert not any(flights.is_under_way(key) for key in ("a", "b", "bad"))
    assert not any(kitchen.num_under_way.values())
    for key, works in kitchen.works.items():
        _check_that_each_work_was_wanted(works, [c for c in callers if c.key == key])


def _check_that_each_work_was_wanted(works: list[Work], callers: list[Caller]) -> None:
    """Pieces of work follow one another, and no more of them began than callers came."""
    assert len(works) <= len(callers)
    for earlier, later in pairwise(works):
        assert earlier.ended_at <= later.began_at


def test_many_at_once_have_one_maker() -> None:
    async def main() -> None:
        kitchen, flights = Kitchen(), SingleFlight[str]()
        answers = await asyncio.gather(*(order(flights, kitchen, "a") for _ in range(50)))
        assert set(answers) == {"a of 0.000"}
        assert len(kitchen.works["a"]) == 1

    run_virtually(main())


def test_work_goes_on_for_the_others_when_the_one_who_began_it_leaves() -> None:
    async def main() -> None:
        kitchen, flights = Kitchen(), SingleFlight[str]()
        leader, follower = (asyncio.create_task(order(flights, kitchen, "a")) for _ in range(2))
        await asyncio.sleep(0.005)
        leader.cancel()
        assert await follower == "a of 0.000"
        assert len(kitchen.works["a"]) == 1

    run_virtually(main())


def test_one_who_joined_and_leaves_harms_nobody() -> None:
    async def main() -> None:
        kitchen, flights = Kitchen(), SingleFlight[str]()
        leader, follower = (asyncio.create_task(order(flights, kitchen, "a")) for _ in range(2))
        await asyncio.sleep(0.005)
        follower.cancel()
        assert await leader == "a of 0.000"

    run_virtually(main())


def test_work_is_cancelled_when_the_last_has_left_and_begun_anew_for_the_next() -> None:
    async def main() -> None:
        kitchen, flights = Kitchen(stopping_seconds=0.02), SingleFlight[str]()
        leaving = [asyncio.create_task(order(flights, kitchen, "a")) for _ in range(2)]
        await asyncio.sleep(0.005)
        for task in leaving:
            task.cancel()
        await asyncio.sleep(0.001)
        assert not flights.is_under_way("a")
        # The next one waits until what was begun has stopped.
        assert await order(flights, kitchen, "a") == "a of 0.025"
        assert [work.is_answered for work in kitchen.works["a"]] == [False, True]

    run_virtually(main())


def test_place_is_held_while_the_work_goes_on_and_let_go_of_though_it_never_began() -> None:
    async def main() -> None:
        held = []

        class Place(nullcontext[None]):
            def __enter__(self) -> None:
                held.append(self)

            def __exit__(self, *raised: object) -> None:
                held.remove(self)

        kitchen, flights = Kitchen(), SingleFlight[str]()
        with flights.boarded("a", lambda: kitchen.make("a"), during=Place) as work:
            assert len(held) == 1
        assert work.cancelling()
        await asyncio.wait({work})
        await asyncio.sleep(0)
        assert held == []
        assert kitchen.works == {}

    run_virtually(main())
