"""Requests in a closed loop (a number of callers) or an open one (a rate), and what each met with.

In the open loop requests are due at times that nobody's slowness moves, and latencies count from
there: a service that stands still for a second is charged with every request of that second, sent
or not. In a closed loop a slow service is asked less, so its latencies flatter it; its rate does
not.
"""

import asyncio
import random
import resource
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle

from service.bench.connection import Address, ConnectionLostError, Reply
from service.bench.connections import Connections

NO_ANSWER = 0
"""Stands for a status where there is none: the connection failed, or time ran out."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One request: seconds since the load began, and its answer's status.

    Attributes:
        due: when it was to be sent; in a closed loop, when it was.
        sent: when it was.
        finished: when its answer was whole, or given up.
        failure: why there is no answer; empty where there is one.
    """

    due: float
    sent: float
    finished: float
    status: int
    has_retry_after: bool = False
    failure: str = ""

    @property
    def seconds(self) -> float:
        """Latency as the caller sees it."""
        return self.finished - self.due


@dataclass(kw_only=True)
class Outcome:
    """All samples of a load, in the order in which they finished, and what it cost the client.

    Attributes:
        load_seconds: for which requests were due; answers may come later.
        seconds: from its beginning to its last answer.
        client_cpu_seconds: of this process, meanwhile.
    """

    samples: list[Sample] = field(default_factory=list)
    load_seconds: float
    seconds: float = 0.0
    client_cpu_seconds: float = 0.0


class Load:
    """Sends requests to one address, the given ones in turn."""

    def __init__(
        self,
        address: Address,
        requests: Sequence[bytes],
        *,
        max_connections: int = 2000,
        timeout_seconds: float = 60.0,
    ) -> None:
        """`requests` are whole ones, see `post_request`; a reply may take `timeout_seconds`."""
        self._requests: Iterator[bytes] = cycle(requests)
        self._connections = Connections(address, most=max_connections)
        self._timeout_seconds = timeout_seconds
        self._outcome = Outcome(load_seconds=0.0)
        self._began_at = 0.0

    async def closed_loop(self, *, num_callers: int, seconds: float) -> Outcome:
        """So many callers, each sending its next request as soon as it has its answer."""

        async def call() -> None:
            while (now := self._now()) < seconds:
                await self._send(due=now)

        async with self._measured(seconds):
            await asyncio.gather(*(call() for _ in range(num_callers)))
        return self._outcome

    async def open_loop(self, arrivals: Sequence[float]) -> Outcome:
        """A request at each of these times, in seconds, whatever became of the ones before.

        Args:
            arrivals: in order, at least one.
        """
        async with self._measured(arrivals[-1]), asyncio.TaskGroup() as group:
            for due in arrivals:
                if (ahead := due - self._now()) > 0:
                    await asyncio.sleep(ahead)
                group.create_task(self._send(due=due))
        return self._outcome

    @asynccontextmanager
    async def _measured(self, load_seconds: float) -> AsyncIterator[None]:
        self._outcome = Outcome(load_seconds=load_seconds)
        self._began_at = time.perf_counter()
        cpu_before = _cpu_seconds()
        try:
            yield
        finally:
            self._outcome.seconds = self._now()
            self._outcome.client_cpu_seconds = _cpu_seconds() - cpu_before
            self._connections.close()

    async def _send(self, *, due: float) -> None:
        sent = self._now()
        request = next(self._requests)
        reply: Reply | None = None
        failure = ""
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._connections.one() as connection,
            ):
                sent = self._now()
                reply = await connection.exchange(request)
        except TimeoutError:
            failure = "timeout"
        except ConnectionLostError:
            failure = "lost"
        except OSError:
            failure = "not connected"
        self._outcome.samples.append(
            Sample(
                due=due,
                sent=sent,
                finished=self._now(),
                status=NO_ANSWER if reply is None else reply.status,
                has_retry_after=reply is not None and "retry-after" in reply.headers,
                failure=failure,
            )
        )

    def _now(self) -> float:
        return time.perf_counter() - self._began_at


def poisson_arrivals(rate: float, *, seconds: float, rng: random.Random) -> list[float]:
    """Times at which independent callers come, `rate` a second on average."""
    times = []
    now = rng.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += rng.expovariate(rate)
    return times


def uniform_arrivals(rate: float, *, seconds: float) -> list[float]:
    """Times that are equally far apart."""
    return [number / rate for number in range(int(rate * seconds))]


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
