"""One maker of a thing for all who want the same thing at the same time.

The work belongs to none of them: it goes on as long as one of them waits, whoever began it, and is
cancelled when the last has gone.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class _Flight(Generic[T]):
    """Work under way, and how many wait for it."""

    def __init__(self, work: asyncio.Task[T]) -> None:
        self.work = work
        self.num_waiting = 0
        self.is_abandoned = False


class SingleFlight(Generic[T]):
    """What is under way, by key: at most one piece of work at a time for each."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[T]] = {}

    def is_under_way(self, key: str) -> bool:
        """Whether somebody who boards now joins work that was begun before."""
        flight = self._flights.get(key)
        return flight is not None and not flight.is_abandoned

    async def let_abandoned_end(self, keys: Iterable[str]) -> None:
        """Wait until no work of these keys is being cancelled; only then may they be boarded."""
        while ending := {
            flight.work
            for key in keys
            if (flight := self._flights.get(key)) is not None and flight.is_abandoned
        }:
            await asyncio.wait(ending)

    @contextmanager
    def boarded(
        self,
        key: str,
        make: Callable[[], Coroutine[None, None, T]],
        *,
        during: Callable[[], AbstractContextManager[None]],
    ) -> Iterator[asyncio.Task[T]]:
        """Wait for a key's work inside the block; begun here if it is not under way.

        The task is to be waited for by `asyncio.wait`, so that a waiter who is cancelled does not
        cancel it. `during` stands around the work, from this call on until it has ended.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._start(key, make, during())
        elif flight.is_abandoned:
            raise RuntimeError("the work is being cancelled; see let_abandoned_end")
        flight.num_waiting += 1
        try:
            yield flight.work
        finally:
            flight.num_waiting -= 1
            if flight.num_waiting == 0 and not flight.work.done():
                flight.is_abandoned = True
                flight.work.cancel()

    async def aclose(self) -> None:
        """Cancel what is under way."""
        works = [flight.work for flight in self._flights.values()]
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    def _start(
        self,
        key: str,
        make: Callable[[], Coroutine[None, None, T]],
        during: AbstractContextManager[None],
    ) -> _Flight[T]:
        held = ExitStack()
        held.enter_context(during)
        flight = _Flight(asyncio.create_task(make(), name="flight"))

        def land(work: asyncio.Task[T]) -> None:
            # Not in the work itself: cancelled before its first step it would never get there.
            held.close()
            del self._flights[key]
            if not work.cancelled():
                work.exception()  # looked at, for nobody may be left to do so

        self._flights[key] = flight
        flight.work.add_done_callback(land)
        return flight
