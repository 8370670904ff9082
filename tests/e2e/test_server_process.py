"""The service as a process: starting, being misused, being told to stop."""

import json
import signal
import socket
import time
from collections.abc import Callable

import httpx
import pytest

from tests.e2e.conftest import ServerProcess
from tests.service.support import as_array, as_file, assert_problem, noise

pytestmark = pytest.mark.e2e

Serve = Callable[..., ServerProcess]


def client_at(address: tuple[str, int]) -> httpx.Client:
    return httpx.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=20)


def upscale(client: httpx.Client) -> httpx.Response:
    return client.post(
        "/v1/upscale", content=as_file(noise(40, 48)), headers={"Content-Type": "image/png"}
    )


def request_head(length: int) -> bytes:
    return (
        "POST /v1/upscale HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def test_misused_server_goes_on_serving_and_ends_cleanly(serve: Serve) -> None:
    server = serve(
        upload_timeout_ms=300,
        max_body_bytes=100_000,
        max_image_bytes=100_000,
        cpu_dtype="float32",  # a CPU without bfloat16 is warned of otherwise
    )
    address = server.wait_for_address()
    with client_at(address) as client:
        assert client.get("/readyz").json() == {"status": "ready"}
        response = upscale(client)
        assert response.status_code == 200
        assert as_array(response.content).shape == (128, 107, 3)

        over = client.post("/v1/upscale", content=bytes(100_001))
        assert_problem(over, status=413, kind="body-too-large", says="at most 100000 are taken")

        with socket.create_connection(address) as slow:
            slow.sendall(request_head(1000) + bytes(10))
            answer = read_all(slow)  # until the server closes
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"urn:affectsr:problem:slow-upload" in answer

        with socket.create_connection(address) as rude:
            rude.sendall(request_head(1000) + bytes(10))
        with socket.create_connection(address) as babbling:
            babbling.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
            assert read_all(babbling).startswith(b"HTTP/1.1 400 ")

        assert upscale(client).status_code == 200
        metrics = client.get("/metrics").text
    for series in (
        'affectsr_requests_total{code="200",route="/v1/upscale"} 2.0',
        'affectsr_requests_total{code="408",route="/v1/upscale"} 1.0',
        "affectsr_inflight 0.0",
    ):
        assert series in metrics

    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    lines = [json.loads(line) for line in server.lines]
    loud = [line["message"] for line in lines if line["level"] in ("error", "warning")]
    assert loud == ["Invalid HTTP request received."]
    states = [line["message"] for line in lines if line["message"].startswith("the service is ")]
    assert [message.removeprefix("the service is ") for message in states] == [
        "warm", "ready", "draining", "dead"
    ]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_admitted_request_is_finished_before_the_end(number: signal.Signals, serve: Serve) -> None:
    server = serve(drain_delay_seconds=0)
    address = server.wait_for_address()
    data = as_file(noise())
    with socket.create_connection(address) as connection:
        connection.sendall(request_head(len(data)) + data[:50])
        with client_at(address) as client:  # the server has the first bytes before the signal
            assert client.get("/livez").status_code == 200
        server.signal(number)
        wait_until_refused(address)
        connection.sendall(data[50:])
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")
    assert server.wait() == 0


def wait_until_refused(address: tuple[str, int]) -> None:
    for _ in range(200):
        try:
            socket.create_connection(address).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.05)
    raise AssertionError("the server still takes connections ten seconds after its signal")


def test_stalled_and_broken_uploads_take_no_place_from_others(serve_stub: Serve) -> None:
    server = serve_stub(queue_capacity=5, max_images_per_request=4)
    address = server.wait_for_address()
    stalled = [socket.create_connection(address) for _ in range(50)]
    try:
        for number, connection in enumerate(stalled):
            connection.sendall(request_head(100_000) + bytes(100 + number))
        for connection in stalled[:25]:
            connection.close()
        with client_at(address) as client:
            assert [upscale(client).status_code for _ in range(20)] == [200] * 20
            assert "affectsr_inflight 0.0" in client.get("/metrics").text
    finally:
        for connection in stalled:
            connection.close()
