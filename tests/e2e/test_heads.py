"""What comes before a request is one: too long, too slow, or nothing at all."""

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.head_limits import MAX_HEAD_BYTES
from tests.e2e.conftest import ServerProcess
from tests.e2e.daemons import wait_until
from tests.service.support import as_file, noise

pytestmark = pytest.mark.e2e

SECONDS = 0.5
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    settings = {"http_port": 0, "codec_threads": 1, "upload_timeout_ms": int(1000 * SECONDS)}
    process = ServerProcess(["tests.e2e.stub_server"], settings)
    yield process
    process.kill()


@pytest.fixture(scope="module")
def address(server: ServerProcess) -> tuple[str, int]:
    return server.wait_for_address()


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return 1024 * int(line.split()[1])


def answer_of(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    connection.settimeout(20)
    received = b""
    try:
        while chunk := connection.recv(65_536):
            received += chunk
    except ConnectionResetError:
        pass  # closed while something was still being sent to it
    return received


def test_header_lines_without_end_are_cut_off_before_they_fill_the_memory(
    server: ServerProcess, address: tuple[str, int]
) -> None:
    before = resident_bytes(server.pid)
    line = b"X-More: " + b"a" * 8000 + b"\r\n"
    num_sent = 0
    with socket.create_connection(address) as connection:
        connection.sendall(LIVEZ[:-2])
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(10_000):  # 80 MB, were it not cut off
                connection.sendall(line)
                num_sent += 1
    assert num_sent < 5000  # what the sockets' buffers hold counts as sent
    assert resident_bytes(server.pid) - before < 20 * 2**20


def test_head_that_is_just_too_long_is_answered_431(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(LIVEZ[:-2] + b"X-Long: " + b"a" * MAX_HEAD_BYTES)
        assert answer_of(connection).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("beginning", [LIVEZ[:8], LIVEZ[:-2]])
def test_head_that_does_not_arrive_in_time_is_answered_408(
    beginning: bytes, address: tuple[str, int]
) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(beginning)
        started_at = time.monotonic()
        answer = answer_of(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started_at >= SECONDS - 0.1


def test_connection_that_sends_nothing_is_closed_without_a_word(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        assert answer_of(connection) == b""


def test_refusals_that_no_request_was_made_of_are_counted(address: tuple[str, int]) -> None:
    host, port = address
    with httpx.Client(base_url=f"http://{host}:{port}", timeout=20) as client:
        before = client.get("/metrics").text
        for beginning in (b"no HTTP\r\n\r\n", LIVEZ[:8], LIVEZ[:-2] + b"a" * MAX_HEAD_BYTES):
            with socket.create_connection(address) as connection:
                connection.sendall(beginning)
                answer_of(connection)
        after = client.get("/metrics").text
    for status in (400, 408, 431):
        series = f'affectsr_requests_total{{code="{status}",route="unmatched"}}'
        assert count(after, series) == count(before, series) + 1


def count(exposition: str, series: str) -> float:
    lines = [line for line in exposition.splitlines() if line.startswith(f"{series} ")]
    return float(lines[0].split()[1]) if lines else 0.0


def test_what_is_no_http_is_answered_once(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
        answer = answer_of(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_bodies_and_idle_connections_have_bounds_of_their_own(address: tuple[str, int]) -> None:
    body = as_file(noise(400, 400))
    assert len(body) > 4 * MAX_HEAD_BYTES
    host, port = address
    with httpx.Client(base_url=f"http://{host}:{port}", timeout=20) as client:
        for _ in range(3):
            response = client.post(
                "/v1/upscale", content=body, headers={"Content-Type": "image/png"}
            )
            assert response.status_code == 200
            assert "connection" not in response.headers


def test_head_of_a_later_request_on_a_kept_connection_has_its_time_too(
    address: tuple[str, int],
) -> None:
    with socket.create_connection(address) as connection:
        for _ in range(2):
            connection.sendall(LIVEZ)
            received = b""
            while not received.endswith(b'{"status":"ready"}'):
                received += connection.recv(65_536)
            time.sleep(2 * SECONDS)  # an idle connection may stay for longer than a head
        connection.sendall(LIVEZ[:8])
        assert answer_of(connection).startswith(b"HTTP/1.1 408 ")


def test_idle_connections_make_room_where_files_are_few(started: list[ServerProcess]) -> None:
    settings = {"http_port": 0, "codec_threads": 1}
    few_files = ["bash", "-c", 'ulimit -n 64 && exec "$@"', "bash"]
    started.append(ServerProcess(["tests.e2e.stub_server"], settings, confined_by=few_files))
    host, port = started[0].wait_for_address()
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection((host, port)))
        with httpx.Client(base_url=f"http://{host}:{port}", timeout=20) as client:
            for _ in range(3):
                assert client.get("/livez").status_code == 200
    # By itself asyncio writes thousands of lines, one for each connection that finds no file left.
    assert [line for line in started[0].lines if '"error"' in line] == []


def test_newcomer_is_told_where_every_connection_has_a_request(
    started: list[ServerProcess],
) -> None:
    settings = {"http_port": 0, "codec_threads": 1, "max_connections": 2}
    started.append(ServerProcess(["tests.e2e.stub_server"], settings))
    address = started[0].wait_for_address()
    upload = (
        b"POST /v1/upscale HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\n"
        b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    )
    with contextlib.ExitStack() as stack:
        uploads = [stack.enter_context(socket.create_connection(address)) for _ in range(2)]
        for connection in uploads:
            # It is told to go on when its head has been read.
            connection.sendall(upload)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 100 ")
        newcomer = stack.enter_context(socket.create_connection(address))
        answer = answer_of(newcomer)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 5\r\n" in answer
        uploads[0].close()
        with httpx.Client(base_url="http://{}:{}".format(*address), timeout=20) as client:
            wait_until(lambda: _is_live(client), "there is room again")
            series = 'affectsr_rejected_total{reason="too-many-connections"}'
            assert count(client.get("/metrics").text, series) >= 1


def _is_live(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadError):
        return client.get("/livez").status_code == 200
    return False
