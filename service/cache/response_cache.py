"""The cache as the pipelines see it: what was made before is found, all else is made once.

A request's keys are looked up together: in the process's memory, then in Redis. What is in neither
is made by whoever wants it first, and anybody who comes meanwhile waits for the same work. Only
work that is begun takes a place of admission. Errors are told to those who waited, and not kept.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Generic, Literal, Protocol, TypeVar

from service.cache.entry import Entry, cache_key
from service.cache.local import LocalTier
from service.cache.observer import CacheObserver
from service.cache.shared import SharedTier
from service.cache.single_flight import SingleFlight
from service.errors import NotReadyError, ServiceError

ValueT = TypeVar("ValueT")

CacheSource = Literal["hit", "shared", "miss"]
"""Made before; made by work that another request had begun; made for this one."""

Makers = Mapping[str, Callable[[], Coroutine[None, None, ValueT | ServiceError]]]
"""By key, what makes its value."""

# How often what has ended is dropped although nobody asks for it.
_SWEEP_SECONDS = 60.0


class ValueForm(Protocol[ValueT]):
    """How a value is taken apart for keeping, and put together again."""

    def fields_of(self, value: ValueT) -> bytes:
        """JSON of all but the file."""
        ...

    def data_of(self, value: ValueT) -> bytes:
        """The file."""
        ...

    def value_of(self, fields: bytes, data: bytes) -> ValueT:
        """Put together what was taken apart.

        Raises:
            ValueError: the fields are not a value's.
        """
        ...


class Admits(Protocol):
    """Admission, as far as it concerns work that is begun here."""

    def check_room(self, cost: int) -> None: ...

    def admit(self, cost: int) -> AbstractContextManager[None]: ...


@dataclass(frozen=True)
class Found(Generic[ValueT]):
    """A value and where it came from."""

    value: ValueT
    source: CacheSource


class ResponseCache(Generic[ValueT]):
    """Values of one kind by key."""

    def __init__(
        self,
        form: ValueForm[ValueT],
        *,
        namespace: str,
        max_bytes: int,
        ttl_seconds: float,
        observer: CacheObserver,
        clock: Callable[[], float],
        shared: SharedTier | None = None,
    ) -> None:
        """`start` begins the sweeping of what has ended.

        Args:
            form: of the values.
            namespace: stands for all that values depend on beside what `key` is told.
            max_bytes: of this process's memory.
            ttl_seconds: for which a value may be given out.
            observer: told what became of each look-up.
            clock: the wall clock, which replicas have in common.
            shared: Redis, if it is used.
        """
        self._form = form
        self._namespace = namespace
        self._ttl_seconds = ttl_seconds
        self._observer = observer
        self._clock = clock
        self._local = LocalTier(max_bytes, clock=clock)
        self._shared = shared
        self._flights: SingleFlight[ValueT | ServiceError] = SingleFlight()
        self._sweeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._sweeping = asyncio.create_task(self._sweep(), name="cache-sweeper")

    async def aclose(self) -> None:
        """Cancel what is under way."""
        await self._flights.aclose()
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    def key(self, parts: Sequence[str], image_sha256: bytes) -> str:
        """Name a value by who asks for what (see `cache_key`), under this cache's namespace."""
        return cache_key([self._namespace, *parts], image_sha256)

    async def get_or_make(
        self, makers: Makers[ValueT], *, admission: Admits
    ) -> dict[str, Found[ValueT] | ServiceError]:
        """Find or make the value of every key.

        Makers run in a task of their own, which ends when nobody waits for it any more: they
        should know no deadline, and whoever calls this be bounded by its own.

        Raises:
            OverloadedError: there is no room for what is to be made; nothing was begun.
            NotReadyError: the service stops.
        """
        found = await self._find(list(makers))
        missing = [key for key in makers if key not in found]
        num_new = sum(not self._flights.is_under_way(key) for key in missing)
        if num_new:
            admission.check_room(num_new)
        sources: dict[str, CacheSource] = {}
        with ExitStack() as stack:
            works = {}
            for key in missing:
                is_joined = self._flights.is_under_way(key)
                self._observer.cache_used("flight", "joined" if is_joined else "led")
                sources[key] = "shared" if is_joined else "miss"
                works[key] = stack.enter_context(
                    self._flights.boarded(
                        key,
                        partial(self._make, key, makers[key]),
                        during=partial(admission.admit, 1),
                    )
                )
            if works:
                await asyncio.wait(works.values())
            outcomes = {key: _outcome(work) for key, work in works.items()}
        made = {
            key: outcome if isinstance(outcome, ServiceError) else Found(outcome, sources[key])
            for key, outcome in outcomes.items()
        }
        return {**{key: Found(value, "hit") for key, value in found.items()}, **made}

    async def _find(self, keys: Sequence[str]) -> dict[str, ValueT]:
        """What was made before. Between the last look and the return nothing waits."""
        here = self._look_here(keys)
        unknown = [k for k in keys if k not in here and not self._flights.is_under_way(k)]
        in_redis = await self._look_in_redis(unknown)
        rest = [key for key in keys if key not in here and key not in in_redis]
        await self._flights.let_abandoned_end(rest)
        here |= self._look_here(rest)  # what was made while this one waited
        for key in keys:
            self._observer.cache_used("local", "hit" if key in here else "miss")
        return here | in_redis

    def _look_here(self, keys: Sequence[str]) -> dict[str, ValueT]:
        entries = ((key, self._local.get(key)) for key in keys)
        return {
            key: self._form.value_of(entry.fields, entry.data)
            for key, entry in entries
            if entry is not None
        }

    async def _look_in_redis(self, keys: Sequence[str]) -> dict[str, ValueT]:
        if self._shared is None:
            return {}
        values = {}
        for key, entry in (await self._shared.get(keys)).items():
            try:
                values[key] = self._form.value_of(entry.fields, entry.data)
            except ValueError:
                self._observer.cache_used("redis", "foreign")
                continue
            self._observer.cache_used("redis", "hit")
            self._local.put(key, entry)
        return values

    async def _make(
        self, key: str, make: Callable[[], Coroutine[None, None, ValueT | ServiceError]]
    ) -> ValueT | ServiceError:
        outcome = await make()
        if not isinstance(outcome, ServiceError):
            entry = Entry(
                fields=self._form.fields_of(outcome),
                data=self._form.data_of(outcome),
                ends_at=self._clock() + self._ttl_seconds,
            )
            self._local.put(key, entry)
            if self._shared is not None:
                self._shared.offer(key, entry)
        return outcome

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._local.forget_what_has_ended()


def _outcome(work: asyncio.Task[ValueT]) -> ValueT:
    if work.cancelled():  # never by those who wait for it
        raise NotReadyError("the service is stopping; send the request to another replica")
    return work.result()
