"""Two tiers and the work under way, in virtual time; Redis itself has tests of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from service.cache.response_cache import Found, ResponseCache
from service.errors import CorruptImageError, NotReadyError, OverloadedError, ServiceError
from tests.service.cache.callers import Counts, Places, TextForm
from tests.virtual_time import VIRTUAL_BACKEND

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL_BACKEND


class Bench:
    """A cache, an admission, and a maker that takes ten milliseconds for "made 1", "made 2", ..."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.places = Places()
        self.num_made = 0
        self.outcome: ServiceError | None = None
        self.cache = ResponseCache(
            TextForm(),
            namespace="n",
            max_bytes=2**20,
            ttl_seconds=60,
            observer=self.counts,
            clock=asyncio.get_running_loop().time,
        )
        self.cache.start()

    async def make(self) -> str | ServiceError:
        self.num_made += 1
        value = f"made {self.num_made}"
        await asyncio.sleep(0.01)
        return self.outcome or value

    async def ask(self, *keys: str) -> list[tuple[str, str] | ServiceError]:
        """(value, source) of each key."""
        makers = dict.fromkeys(keys, self.make)
        found = await self.cache.get_or_make(makers, admission=self.places)
        return [
            (outcome.value, outcome.source) if isinstance(outcome, Found) else outcome
            for outcome in (found[key] for key in keys)
        ]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    async with aclosing(bench.cache):
        yield bench


async def test_what_was_made_is_found_until_its_time_is_over(bench: Bench) -> None:
    assert await bench.ask("a") == [("made 1", "miss")]
    await asyncio.sleep(59)
    assert await bench.ask("a") == [("made 1", "hit")]
    await asyncio.sleep(1)
    assert await bench.ask("a") == [("made 2", "miss")]
    assert bench.counts.seen == {"local hit": 1, "local miss": 2, "flight led": 2}


async def test_many_who_want_the_same_at_once_share_one_piece_of_work(bench: Bench) -> None:
    answers = await asyncio.gather(*(bench.ask("a") for _ in range(20)))
    assert answers[0] == [("made 1", "miss")]
    assert answers[1:] == [[("made 1", "shared")]] * 19
    assert bench.places.most_taken == 1
    assert bench.counts.seen == {"local miss": 20, "flight led": 1, "flight joined": 19}


async def test_request_of_several_finds_some_joins_some_and_makes_the_rest(bench: Bench) -> None:
    await bench.ask("a")
    joined = asyncio.create_task(bench.ask("b"))
    await asyncio.sleep(0.001)
    assert await bench.ask("a", "b", "c") == [
        ("made 1", "hit"),
        ("made 2", "shared"),
        ("made 3", "miss"),
    ]
    assert await joined == [("made 2", "miss")]
    assert bench.places.most_taken == 2


async def test_what_is_found_or_joined_needs_no_place(bench: Bench) -> None:
    await bench.ask("a")
    bench.places.capacity = 1
    leading = asyncio.create_task(bench.ask("b"))
    await asyncio.sleep(0.001)
    assert await bench.ask("a") == [("made 1", "hit")]
    assert await bench.ask("b") == [("made 2", "shared")]
    assert await leading == [("made 2", "miss")]


async def test_request_for_which_there_is_no_room_begins_nothing(bench: Bench) -> None:
    bench.places.capacity = 2
    with pytest.raises(OverloadedError):
        await bench.ask("a", "b", "c")
    assert (bench.num_made, bench.places.taken) == (0, 0)
    assert await bench.ask("a", "b") == [("made 1", "miss"), ("made 2", "miss")]


async def test_error_is_told_to_all_who_waited_and_not_kept(bench: Bench) -> None:
    bench.outcome = CorruptImageError("broken")
    assert await asyncio.gather(bench.ask("a"), bench.ask("a")) == [[bench.outcome]] * 2
    bench.outcome = None
    assert await bench.ask("a") == [("made 2", "miss")]


async def test_work_goes_on_for_others_when_its_request_is_cancelled_and_is_kept(
    bench: Bench,
) -> None:
    leaving, staying = (asyncio.create_task(bench.ask("a")) for _ in range(2))
    await asyncio.sleep(0.005)
    leaving.cancel()
    assert await staying == [("made 1", "shared")]
    assert await bench.ask("a") == [("made 1", "hit")]


async def test_work_of_a_request_of_several_is_cancelled_with_it_but_for_what_others_want(
    bench: Bench,
) -> None:
    leaving = asyncio.create_task(bench.ask("a", "b", "c"))
    await asyncio.sleep(0.001)
    staying = asyncio.create_task(bench.ask("b"))
    await asyncio.sleep(0.001)
    leaving.cancel()
    assert await staying == [("made 2", "shared")]
    assert await bench.ask("a") == [("made 4", "miss")]
    assert bench.places.taken == 0


async def test_exception_that_nobody_foresaw_reaches_all_who_waited(bench: Bench) -> None:
    async def explode() -> str | ServiceError:
        await asyncio.sleep(0.01)
        raise ZeroDivisionError

    asking = (bench.cache.get_or_make({"a": explode}, admission=bench.places) for _ in range(2))
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError] * 2
    assert bench.places.taken == 0


async def test_closing_answers_those_who_wait(bench: Bench) -> None:
    waiting = asyncio.create_task(bench.ask("a"))
    await asyncio.sleep(0.001)
    await bench.cache.aclose()
    with pytest.raises(NotReadyError, match="send the request to another replica"):
        await waiting


async def test_key_depends_on_the_namespace(bench: Bench) -> None:
    other = ResponseCache(
        TextForm(),
        namespace="m",
        max_bytes=2**20,
        ttl_seconds=60,
        observer=Counts(),
        clock=asyncio.get_running_loop().time,
    )
    image = bytes(32)
    assert bench.cache.key(["a"], image) != other.key(["a"], image)
    assert bench.cache.key(["a"], image) == bench.cache.key(["a"], image)


async def test_what_has_ended_is_forgotten_though_nobody_asks(bench: Bench) -> None:
    await bench.ask("a")
    await asyncio.sleep(121)
    assert len(bench.cache._local) == 0
