"""API keys by a real socket, and all that a run with them writes."""

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import ServerProcess
from tests.service.access.keys import key_line
from tests.service.support import as_file, noise

pytestmark = pytest.mark.e2e

KEY, NEW_KEY, WRONG_KEY = "THE-KEY-OF-ANNA", "THE-NEW-KEY", "THE-WRONG-KEY"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(key_line("anna", KEY, 5))
    return path


def test_body_that_never_ends_is_answered_401_and_the_connection_closed(
    serve_stub: Callable[..., ServerProcess], path: Path
) -> None:
    server = serve_stub(api_keys_file=path)
    with socket.create_connection(server.wait_for_address(), timeout=20) as connection:
        connection.sendall(
            b"POST /v1/upscale HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
        )
        answer = b""
        while received := connection.recv(65536):
            answer += received
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401 ")
    assert b"www-authenticate: bearer" in head.lower()
    assert json.loads(body)["type"] == "urn:affectsr:problem:unauthorized"


def test_no_key_stands_in_anything_that_a_run_writes(
    serve_stub: Callable[..., ServerProcess], path: Path
) -> None:
    server = serve_stub(log_level="debug", drain_delay_seconds=0, api_keys_file=path)
    host, port = server.wait_for_address()
    with httpx.Client(base_url=f"http://{host}:{port}", timeout=20) as client:

        def status(key: str, *, header: str = "X-API-Key", scheme: str = "") -> int:
            answer = client.post(
                "/v1/upscale", content=as_file(noise()), headers={header: f"{scheme}{key}"}
            )
            assert key not in answer.text
            return answer.status_code

        assert status(KEY, header="Authorization", scheme="Bearer ") == 415  # no Content-Type
        assert status(WRONG_KEY) == 401
        assert status(WRONG_KEY, header="Authorization", scheme="Basic ") == 401
        assert {status(KEY) for _ in range(6)} == {415, 429}
        path.write_text(f"anna {NEW_KEY}\n")  # not its digest
        asked_until(server, client, "the new file of API keys is not taken")
        assert status(NEW_KEY) == 401
        path.write_text(key_line("anna", NEW_KEY))
        asked_until(server, client, "the file of API keys has changed")
        assert (status(NEW_KEY), status(KEY)) == (415, 401)
        metrics = client.get("/metrics").text
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    output = "\n".join([*server.lines, metrics])
    assert '"problem": "rate-limited"' in output
    for key in (KEY, NEW_KEY, WRONG_KEY):
        assert key not in output
        assert key_line("", key).strip() not in output


def asked_until(server: ServerProcess, client: httpx.Client, beginning: str) -> None:
    """Send requests until the log says so: the file is looked at when a key is to be known."""
    for _ in range(10_000):
        client.get("/v1/models", headers={"X-API-Key": WRONG_KEY})
        if any(json.loads(line)["message"].startswith(beginning) for line in server.lines):
            return
    raise AssertionError(f"it never said {beginning!r}")
