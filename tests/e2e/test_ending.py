"""How the process ends: draining, hurried, while it loads.

Under load: tests/bench/scenarios/ending.py.
"""

import asyncio
import signal
import time
from collections.abc import Callable
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


# --- draining ---


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
