"""25: what the callers counted is what the service counted, for every status over real sockets."""

import hashlib
import socket
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from tests.bench.scenarios.setup import Check, Exposition, Setup, equals, wait_until
from tests.e2e.conftest import ServerProcess
from tests.e2e.stub_server import RAISES
from tests.service.support import as_file, noise, plain

KEY, LIMITED_KEY = "a-key", "a-key-of-one-request"
PNG = {"Content-Type": "image/png"}
GONE = 499  # nobody reads it; the service counts it for callers who have left

# Every status of the contract but 409, which needs two classifiers, and 431, which is the server's.
EXPECTED = {200, 400, 401, 404, 405, 406, 408, 413, 415, 422, 429, GONE, 500, 503, 504}


def run(setup: Setup) -> list[Check]:
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys"
        keys.write_text(_line("anna", KEY) + _line("ben", LIMITED_KEY, " 1"), "utf-8")
        process = ServerProcess(
            ["tests.e2e.stub_server", "--base-ms", "60"],
            {
                "http_port": 0,
                "codec_threads": 1,
                "upload_timeout_ms": 300,
                "max_body_bytes": 100_000,
                "max_image_bytes": 100_000,
                "api_keys_file": keys,
                "redis_url": "redis://127.0.0.1:9/0",  # nobody listens there
            },
        )
        try:
            caller = Caller(process.wait_for_address())
            for _ in range(setup.size(2, full=50)):
                caller.do_everything()
            counts_agree = wait_until(lambda: caller.counted() == caller.answers, seconds=10)
            counted = caller.counted()
        finally:
            process.kill()
    return [
        equals("the counts agree", counts_agree, True),
        equals("by status", dict(sorted(counted.items())), dict(sorted(caller.answers.items()))),
        equals("statuses", set(caller.answers), EXPECTED),
    ]


class Caller:
    """Makes each kind of answer happen, and counts what it was answered."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.answers: Counter[int] = Counter()
        self._address = address
        self._url = f"http://{address[0]}:{address[1]}"
        self._image = as_file(noise())

    def counted(self) -> Counter[int]:
        """The service's own counts, of all routes but /metrics."""
        exposition = Exposition(self._url)
        counts: Counter[int] = Counter()
        for route in ("/v1/upscale", "/v1/ecm/sets", "/livez", "unmatched"):
            counts.update(exposition.statuses(route))
        return counts

    def do_everything(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            for number in range(2):
                self._ask(client, "GET", "/livez", key="")
                self._ask(client, "GET", "/nowhere")
                self._ask(client, "GET", "/v1/upscale")
                self._ask(client, "GET", "/v1/ecm/sets")
                self._post(client, self._image)
                self._post(client, self._image, key=LIMITED_KEY)
                self._post(client, self._image, key="none of the keys")
                self._post(client, b"")
                self._post(client, self._image[:80])
                self._post(client, b"GIF89a" + bytes(90))
                self._post(client, bytes(100_001))
                self._post(client, as_file(noise(4, 4)))
                self._post(client, as_file(plain(RAISES)))
                self._post(client, self._image, Accept="text/plain")
                self._post(client, self._image, X_Request_Timeout_Ms=str(1 + number))
        self._upload_slowly()
        self._leave()

    def _post(self, client: httpx.Client, body: bytes, *, key: str = KEY, **headers: str) -> None:
        named = PNG | {name.replace("_", "-"): value for name, value in headers.items()}
        self._ask(client, "POST", "/v1/upscale", key=key, content=body, headers=named)

    def _ask(
        self,
        client: httpx.Client,
        method: str,
        path: str,
        *,
        key: str = KEY,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        authorized = {"Authorization": f"Bearer {key}"} if key else {}
        reply = client.request(method, path, content=content, headers=authorized | (headers or {}))
        self.answers[reply.status_code] += 1

    def _upload_slowly(self) -> None:
        with socket.create_connection(self._address) as connection:
            connection.sendall(self._head(1000) + bytes(10))
            status = connection.recv(65_536).split()[1]
        self.answers[int(status)] += 1

    def _leave(self) -> None:
        with socket.create_connection(self._address) as connection:
            connection.sendall(self._head(len(self._image)) + self._image)
            time.sleep(0.02)  # it is on its way to the device, which takes 60 ms
        self.answers[GONE] += 1

    def _head(self, length: int) -> bytes:
        return (
            "POST /v1/upscale HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\n"
            f"Authorization: Bearer {KEY}\r\nContent-Length: {length}\r\n\r\n"
        ).encode()


def _line(name: str, key: str, limit: str = "") -> str:
    return f"{name} {hashlib.sha256(key.encode()).hexdigest()}{limit}\n"
