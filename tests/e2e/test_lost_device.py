"""A device that is lost takes the process down, so that an orchestrator starts another one."""

import time
from collections.abc import Callable

import httpx
import pytest

from service.server import EXIT_DEVICE_LOST
from tests.e2e.conftest import ServerProcess
from tests.e2e.stub_server import HANGS, LOSES_DEVICE
from tests.service.support import as_file, assert_problem, plain

pytestmark = pytest.mark.e2e


def upscale(address: tuple[str, int], level: int) -> httpx.Response:
    return httpx.post(
        f"http://{address[0]}:{address[1]}/v1/upscale",
        content=as_file(plain(level)),
        headers={"Content-Type": "image/png"},
        timeout=20,
    )


def test_lost_device_answers_its_caller_and_ends_the_process(
    serve_stub: Callable[..., ServerProcess],
) -> None:
    server = serve_stub()
    address = server.wait_for_address()
    assert upscale(address, 7).status_code == 200
    response = upscale(address, LOSES_DEVICE)
    assert_problem(
        response, status=503, kind="device-lost", says="told to lose its device", retryable=True
    )
    assert server.wait() == EXIT_DEVICE_LOST


def test_device_that_hangs_for_good_does_not_keep_the_process(
    serve_stub: Callable[..., ServerProcess],
) -> None:
    server = serve_stub(device_stall_seconds=0.5)
    address = server.wait_for_address()
    assert upscale(address, 7).status_code == 200
    started_at = time.monotonic()
    response = upscale(address, HANGS)
    assert_problem(
        response, status=503, kind="device-stalled", says="has not answered", retryable=True
    )
    assert server.wait() == EXIT_DEVICE_LOST
    assert time.monotonic() - started_at < 15  # 1.5 s for the loss, the rest for a busy machine
    assert any("does not answer" in line for line in server.lines)
