"""How the process ends: under load behind a balancer, hurried, while it loads."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import ServerProcess
from tests.e2e.stub_server import HANGS
from tests.service.support import as_file, plain

pytestmark = pytest.mark.e2e

ServeStub = Callable[..., ServerProcess]

IMAGE = as_file(plain(7))
HEADERS = {"Content-Type": "image/png"}


def url(address: tuple[str, int]) -> str:
    return f"http://{address[0]}:{address[1]}"


# --- behind a load balancer ---


@dataclass
class Balancer:
    """Sends requests to replicas whose readiness probe says yes, and repeats none."""

    client: httpx.AsyncClient
    replicas: Sequence[str]
    ready: set[str] = field(default_factory=set)
    statuses: list[int | str] = field(default_factory=list)
    is_over: bool = False

    async def probe(self) -> None:
        while not self.is_over:
            for replica in self.replicas:
                try:
                    response = await self.client.get(
                        f"{replica}/readyz", headers={"Connection": "close"}
                    )
                except httpx.TransportError:
                    self.ready.discard(replica)
                    continue
                if response.status_code == 200:
                    self.ready.add(replica)
                else:
                    self.ready.discard(replica)
            await asyncio.sleep(0.02)

    async def call_again_and_again(self, number: int) -> None:
        while not self.is_over:
            ready = sorted(self.ready)
            if not ready:
                await asyncio.sleep(0.01)
                continue
            replica = ready[(number + len(self.statuses)) % len(ready)]
            try:
                response = await self.client.post(
                    f"{replica}/v1/upscale", content=IMAGE, headers=HEADERS
                )
                self.statuses.append(response.status_code)
            except httpx.TransportError as error:
                self.statuses.append(repr(error))


@pytest.mark.parametrize("delay_seconds", [1.0, 3.0])
def test_no_request_fails_while_a_replica_is_told_to_stop(
    delay_seconds: float, serve_stub: ServeStub
) -> None:
    servers = [serve_stub(drain_delay_seconds=delay_seconds) for _ in range(2)]
    replicas = [url(server.wait_for_address()) for server in servers]

    async def run() -> Balancer:
        async with httpx.AsyncClient(timeout=20) as client:
            balancer = Balancer(client, replicas)
            async with asyncio.TaskGroup() as group:
                group.create_task(balancer.probe())
                for number in range(8):
                    group.create_task(balancer.call_again_and_again(number))
                await asyncio.sleep(1)
                servers[0].signal(signal.SIGTERM)
                while servers[0].is_running:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.5)
                balancer.is_over = True
            return balancer

    balancer = asyncio.run(asyncio.wait_for(run(), timeout=60))
    assert servers[0].wait() == 0
    assert set(balancer.statuses) == {200}
    assert len(balancer.statuses) > 100
    assert balancer.ready == {replicas[1]}


def test_draining_server_is_live_not_ready_still_works_and_keeps_no_connection(
    serve_stub: ServeStub,
) -> None:
    server = serve_stub(drain_delay_seconds=20)
    address = server.wait_for_address()
    with httpx.Client(base_url=url(address), timeout=20) as client:
        assert "connection" not in client.get("/livez").headers
        server.signal(signal.SIGTERM)
        server.wait_for_line("the service is draining")
        live, ready = client.get("/livez"), client.get("/readyz")
        work = client.post("/v1/upscale", content=IMAGE, headers=HEADERS)
    assert (live.status_code, ready.status_code, work.status_code) == (200, 503, 200)
    assert work.headers["connection"] == "close"
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


# --- hurried ---


def test_second_signal_waits_for_nothing_not_even_a_hung_device(serve_stub: ServeStub) -> None:
    server = serve_stub(drain_delay_seconds=60)
    address = server.wait_for_address()

    async def run() -> float:
        async with httpx.AsyncClient(base_url=url(address), timeout=30) as client:
            hanging = asyncio.create_task(
                client.post("/v1/upscale", content=as_file(plain(HANGS)), headers=HEADERS)
            )
            while "affectsr_inflight 1.0" not in (await client.get("/metrics")).text:
                await asyncio.sleep(0.02)
            server.signal(signal.SIGTERM)
            while (await client.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.02)
            server.signal(signal.SIGTERM)
            started_at = time.monotonic()
            await asyncio.gather(hanging, return_exceptions=True)
            while server.is_running:
                await asyncio.sleep(0.02)
            return time.monotonic() - started_at

    assert asyncio.run(run()) < 10  # half a second on an idle machine
    assert server.wait() == 0


# --- while it loads ---


def test_signal_while_the_models_load_is_a_clean_end_at_once(serve_stub: ServeStub) -> None:
    server = serve_stub("--load-seconds", "120")
    server.wait_for_line("loading")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0  # far sooner than the load
    assert any("told to stop while the models load" in line for line in server.lines)


def test_signal_before_anything_is_imported_is_a_clean_end(
    serve: Callable[..., ServerProcess],
) -> None:
    server = serve()
    deadline = time.monotonic() + 30
    while not handles_sigterm(server.pid):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def handles_sigterm(pid: int) -> bool:
    """Whether the process has a handler of its own for SIGTERM (proc(5), SigCgt)."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


# --- under load ---


def test_probes_answer_while_five_times_too_much_comes_in(serve_stub: ServeStub) -> None:
    server = serve_stub("--base-ms", "50", queue_capacity=17, max_images_per_request=1)
    address = server.wait_for_address()
    seconds: list[float] = []
    statuses: list[int] = []

    async def overload(client: httpx.AsyncClient) -> None:
        while len(seconds) < 30:
            response = await client.post("/v1/upscale", content=IMAGE, headers=HEADERS)
            statuses.append(response.status_code)
            await asyncio.sleep(0.02)

    async def probe(client: httpx.AsyncClient) -> None:
        while len(seconds) < 30:
            started_at = time.monotonic()
            for path in ("/livez", "/readyz", "/metrics"):
                assert (await client.get(path)).status_code == 200
            seconds.append((time.monotonic() - started_at) / 3)
            await asyncio.sleep(0.05)

    async def run() -> None:
        limits = httpx.Limits(max_connections=None)
        async with (
            httpx.AsyncClient(base_url=url(address), timeout=30, limits=limits) as crowd,
            httpx.AsyncClient(base_url=url(address), timeout=30) as prober,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(probe(prober))
            for _ in range(40):
                group.create_task(overload(crowd))

    asyncio.run(asyncio.wait_for(run(), timeout=120))
    assert set(statuses) == {200, 429}
    # Client and crowd share this process: the bound is for the machine's worst day.
    assert sorted(seconds)[len(seconds) // 2] < 0.5
