"""The client against a server of a few lines, whose every answer the test decides."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from service.bench.connection import Address, post_request
from service.bench.load import NO_ANSWER, Load, poisson_arrivals, uniform_arrivals

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FULL = b"HTTP/1.1 429 Full\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

Answer = Callable[[int], Awaitable[bytes]]


class Server:
    """Answers each request by its number, from 0; an answer of no bytes closes the connection."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[bytes] = []
        self.num_connections = 0
        self._answer = answer

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                number = len(self.requests)
                self.requests.append(head + await reader.readexactly(length))
                answer = await self._answer(number)
                writer.write(answer)
                if not answer or b"close" in answer:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[Server, Address]]:
    server = Server(answer)
    listening = await asyncio.start_server(server.talk, "127.0.0.1", 0)
    async with listening:
        host, port = listening.sockets[0].getsockname()
        yield server, Address(host=host, port=port)


def load_on(address: Address, *, max_connections: int = 100, timeout_seconds: float = 20) -> Load:
    requests = [post_request(address, "/v1/upscale", body) for body in (b"one", b"two")]
    return Load(address, requests, max_connections=max_connections, timeout_seconds=timeout_seconds)


async def ok(number: int) -> bytes:
    return OK


async def test_requests_are_sent_in_turn_over_a_kept_connection() -> None:
    async with serving(ok) as (server, address):
        outcome = await load_on(address, max_connections=1).open_loop([0.0] * 4)
    assert [request.rpartition(b"\r\n\r\n")[2] for request in server.requests] == [
        b"one", b"two", b"one", b"two"
    ]  # fmt: skip
    assert server.requests[0].startswith(b"POST /v1/upscale HTTP/1.1\r\nHost: 127.0.0.1:")
    assert server.num_connections == 1
    assert [sample.status for sample in outcome.samples] == [200] * 4


async def test_requests_are_charged_with_the_time_in_which_they_could_not_be_sent() -> None:
    stall_seconds = 0.4

    async def stalls_first(number: int) -> bytes:
        if number == 0:
            await asyncio.sleep(stall_seconds)
        return OK

    async with serving(stalls_first) as (_, address):
        arrivals = uniform_arrivals(100, seconds=0.2)
        outcome = await load_on(address, max_connections=1).open_loop(arrivals)
    assert sorted(sample.due for sample in outcome.samples) == arrivals
    for sample in outcome.samples:
        assert sample.seconds >= stall_seconds - sample.due - 0.01
        assert sample.sent >= (stall_seconds - 0.01 if sample.due else 0)


async def test_open_loop_sends_on_while_nothing_is_answered() -> None:
    everybody_is_there = asyncio.Event()

    async def waits_for_all(number: int) -> bytes:
        if number == 19:
            everybody_is_there.set()
        await everybody_is_there.wait()
        return OK

    async with serving(waits_for_all) as (server, address):
        outcome = await load_on(address).open_loop(uniform_arrivals(1000, seconds=0.02))
    assert [sample.status for sample in outcome.samples] == [200] * 20
    assert server.num_connections == 20


async def test_closed_loop_has_one_request_of_each_caller_under_way() -> None:
    under_way, highest = 0, 0

    async def counts(number: int) -> bytes:
        nonlocal under_way, highest
        under_way += 1
        highest = max(highest, under_way)
        await asyncio.sleep(0.005)
        under_way -= 1
        return OK

    async with serving(counts) as (server, address):
        outcome = await load_on(address).closed_loop(num_callers=3, seconds=0.1)
    assert highest == server.num_connections == 3
    assert len(outcome.samples) == len(server.requests) >= 3
    assert outcome.seconds >= 0.1


async def test_what_is_no_answer_is_told_by_its_reason() -> None:
    async def misbehaves(number: int) -> bytes:
        if number == 1:
            return b""
        if number == 2:
            return b"this is no HTTP\r\n\r\n"
        if number == 3:
            await asyncio.sleep(20)
        return FULL if number == 0 else LAST

    async with serving(misbehaves) as (_, address):
        load = load_on(address, max_connections=1, timeout_seconds=0.2)
        samples = [(await load.open_loop([0.0])).samples[0] for _ in range(5)]
    assert [(sample.status, sample.failure) for sample in samples] == [
        (429, ""), (NO_ANSWER, "lost"), (NO_ANSWER, "lost"), (NO_ANSWER, "timeout"), (200, "")
    ]  # fmt: skip
    assert samples[0].has_retry_after
    outcome = await load_on(address).open_loop([0.0])
    assert outcome.samples[0].failure == "not connected"


def test_poisson_arrivals_come_at_the_rate_and_in_order() -> None:
    times = poisson_arrivals(200, seconds=50, rng=random.Random(0))
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < 50
    # 10,000 +- 4 standard deviations.
    assert len(times) == pytest.approx(10_000, abs=400)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8000", Address(host="127.0.0.1", port=8000)),
        ("localhost:81", Address(host="localhost", port=81)),
        ("http://gateway/affectsr/", Address(host="gateway", port=80, base_path="/affectsr")),
    ],
)
def test_address_is_read_from_a_url(url: str, address: Address) -> None:
    assert Address.of(url) == address


@pytest.mark.parametrize("url", ["https://host", "", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="give one as http://HOST:PORT"):
        Address.of(url)
