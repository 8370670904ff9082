"""haproxy and Prometheus as an operator runs them, on loopback ports, and restless callers."""

import contextlib
import re
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

DOCKER = Path(__file__).resolve().parents[2] / "docker"
SECONDS = 60
CALLER_SECONDS = 150
NO_ANSWER = 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def daemon(*command: str, port: int) -> Iterator[None]:
    """Run a program while the block runs, from when it listens on the port."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} on the PATH; Debian has a package of that name")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: listens(port) or process.poll() is not None, f"{command[0]} listens")
            assert process.poll() is None, f"{command[0]} ended with status {process.returncode}"
            yield
        finally:
            process.kill()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(
    holds: Callable[[], object], what: str | Callable[[], str], *, seconds: float = SECONDS
) -> None:
    """Wait until something holds; past the deadline fail with what still does not."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() >= deadline:
            described = what if isinstance(what, str) else what()
            pytest.fail(f"after {seconds:.0f} s it is still not so that {described}")
        time.sleep(0.1)


class Proxy:
    """docker/proxy/haproxy.cfg with addresses of this machine, and nothing else changed."""

    def __init__(self, replicas: Sequence[int]) -> None:
        self.port, self._metrics_port = free_port(), free_port()
        self._numbers = range(len(replicas))
        lines = (DOCKER / "proxy/haproxy.cfg").read_text("utf-8").splitlines()
        (template,) = (line for line in lines if "server-template" in line)
        servers = [f"    server r{n} 127.0.0.1:{port}" for n, port in enumerate(replicas)]
        self.configuration = (
            "\n".join(lines)
            .replace(template, "\n".join(servers))
            .replace("bind :8080", f"bind 127.0.0.1:{self.port}")
            .replace("bind :8405", f"bind 127.0.0.1:{self._metrics_port}")
        ) + "\n"

    @contextlib.contextmanager
    def running(self, folder: Path) -> Iterator[str]:
        """Its address, once every replica is in rotation."""
        path = folder / "haproxy.cfg"
        path.write_text(self.configuration, "utf-8")
        with daemon("haproxy", "-db", "-f", str(path), port=self.port):
            wait_until(lambda: all(map(self.is_up, self._numbers)), "every replica is up")
            yield f"http://127.0.0.1:{self.port}"

    def is_up(self, number: int) -> bool:
        return self.state_of(number).is_up

    def state_of(self, number: int) -> "ReplicaState":
        """What the proxy thinks of a replica, all of it at one moment."""
        text = httpx.get(f"http://127.0.0.1:{self._metrics_port}/metrics").text
        labels = f'proxy="replicas",server="r{number}"'
        (failures,) = re.findall(rf"haproxy_server_check_failures_total\{{{labels}\}} (\d+)", text)
        return ReplicaState(
            is_up=f'haproxy_server_status{{{labels},state="UP"}} 1' in text,
            failed_checks=int(failures),
        )


@dataclass(frozen=True)
class ReplicaState:
    """A replica in the proxy's eyes; checks are counted from the proxy's start."""

    is_up: bool
    failed_checks: int


@contextlib.contextmanager
def prometheus(folder: Path, replicas: Sequence[int]) -> Iterator[str]:
    """docker/prometheus with addresses of this machine, asking every second; gives its address."""
    configuration = yaml.safe_load((DOCKER / "prometheus/prometheus.yml").read_text("utf-8"))
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["rule_files"] = [str(DOCKER / "prometheus/alerts.yml")]
    (job,) = (one for one in configuration["scrape_configs"] if one["job_name"] == "affectsr")
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in replicas]}]
    configuration["scrape_configs"] = [job]
    path, port = folder / "prometheus.yml", free_port()
    path.write_text(yaml.safe_dump(configuration), "utf-8")
    with daemon(
        "prometheus",
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}",
        port=port,
    ):
        yield f"http://127.0.0.1:{port}"


Send = Callable[[httpx.Client], httpx.Response]
"""One request of a caller."""


def upscale(body: bytes) -> Send:
    """Send this image, and no other."""
    return lambda client: client.post(
        "/v1/upscale", content=body, headers={"Content-Type": "image/png"}
    )


class Callers:
    """A few callers, each sending its next request as soon as it has its answer."""

    def __init__(self, address: str, send: Send, *, number: int, most: int) -> None:
        self.answers: Counter[int] = Counter()
        self._address = address
        self._send = send
        self._left = most
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(number)]

    @contextlib.contextmanager
    def calling(self) -> Iterator[None]:
        """Call while the block runs."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    def wait_for_more(self, number: int) -> None:
        """Until so many more answers have come."""
        self.wait_for(self.answers.total() + number)

    def wait_for(self, number: int, *, seconds: float = SECONDS) -> None:
        """Until so many answers have come in all."""
        wait_until(
            lambda: self.answers.total() >= number, f"{number} answers are there", seconds=seconds
        )

    def _call(self) -> None:
        # Longer than the service's own deadline, so that it is the service that gives up.
        with httpx.Client(base_url=self._address, timeout=CALLER_SECONDS) as client:
            while not self._over.is_set() and self._take():
                status = self._status_of(client)
                with self._lock:
                    self.answers[status] += 1

    def _status_of(self, client: httpx.Client) -> int:
        try:
            return self._send(client).status_code
        except httpx.TransportError:  # refused, closed without an answer, or none in all the time
            return NO_ANSWER

    def _take(self) -> bool:
        """Whether there is one more request to send; their number is bounded."""
        with self._lock:
            self._left -= 1
            return self._left >= 0
