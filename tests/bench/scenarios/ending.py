"""14: a replica is told to stop under load; behind a balancer that asks its probe none fails."""

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

from service.bench.connection import Connection, ConnectionLostError
from service.bench.connections import Connections
from service.bench.stub import RunningStub
from tests.bench.scenarios.setup import Check, Setup, equals, requests_to

NUM_CALLERS = 8
SECONDS_BETWEEN_PROBES = 0.02
READYZ = b"GET /readyz HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n"


def run(setup: Setup) -> list[Check]:
    number = setup.size(150, full=10_000)
    checks = []
    for delay_seconds in (1.0, 3.0):
        with ExitStack() as stack:
            stubs = [
                stack.enter_context(
                    setup.service(base_ms=5, item_ms=1, drain_delay_seconds=delay_seconds)
                )
                for _ in range(2)
            ]
            balancer = Balancer(stubs)
            asyncio.run(balancer.send(number, stops_first_after=number // 3))
            exit_status = stubs[0].process.wait(timeout=60)
        failed = balancer.answers.total() - balancer.answers[200]
        name = f"drain delay {delay_seconds:g} s: "
        checks += [
            equals(f"{name}failed of {balancer.answers.total()}", failed, 0),
            equals(
                f"{name}answers from the stopped one meanwhile",
                balancer.num_while_draining > 0,
                True,
            ),
            equals(f"{name}exit status", exit_status, 0),
        ]
    return checks


class Balancer:
    """Sends requests in turn to the replicas whose probe says yes, and repeats none."""

    def __init__(self, stubs: Sequence[RunningStub]) -> None:
        self.answers: Counter[int | str] = Counter()
        self.num_while_draining = 0
        self._stubs = stubs
        self._pools = [Connections(stub.address, most=NUM_CALLERS) for stub in stubs]
        self._requests = [requests_to(stub) for stub in stubs]
        self._ready: set[int] = set()
        self._is_over = False

    async def send(self, number: int, *, stops_first_after: int) -> None:
        """Send at least so many, and stop the first replica on the way."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._probe())
            for caller in range(NUM_CALLERS):
                group.create_task(self._call(caller))
            await self._until_sent(stops_first_after)
            self._stubs[0].process.send_signal(signal.SIGTERM)
            while self._stubs[0].process.poll() is None:
                await asyncio.sleep(0.05)
            await self._until_sent(max(number, self.answers.total() + 20))
            self._is_over = True
        for pool in self._pools:
            pool.close()

    async def _until_sent(self, number: int) -> None:
        while self.answers.total() < number:
            await asyncio.sleep(0.02)

    async def _probe(self) -> None:
        while not self._is_over:
            for index, stub in enumerate(self._stubs):
                if await _says_ready(stub):
                    self._ready.add(index)
                else:
                    self._ready.discard(index)
            await asyncio.sleep(SECONDS_BETWEEN_PROBES)

    async def _call(self, caller: int) -> None:
        turn = caller
        while not self._is_over:
            if not (ready := sorted(self._ready)):
                await asyncio.sleep(0.01)
                continue
            turn += 1
            index = ready[turn % len(ready)]
            try:
                async with self._pools[index].one() as connection:
                    reply = await connection.exchange(self._requests[index][turn % 64])
            except (ConnectionLostError, OSError) as error:
                self.answers[repr(error)] += 1
                continue
            self.answers[reply.status] += 1
            self.num_while_draining += reply.headers.get("connection") == "close"


async def _says_ready(stub: RunningStub) -> bool:
    try:
        connection = await Connection.connect(stub.address)
        reply = await connection.exchange(READYZ)
    except (ConnectionLostError, OSError):
        return False
    connection.close()
    return reply.status == 200
