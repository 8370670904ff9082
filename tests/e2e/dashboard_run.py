"""A minute in the life of two replicas, drawn as the dashboard shows it.

    python -m tests.e2e.dashboard_run dashboard.png [--seconds 120]

Starts two replicas around an engine that computes nothing (tests/e2e/stub_server.py), haproxy and
Prometheus; callers send faces, pictures without one, bad bytes and images that the model fails on;
a replica is restarted and there is a rush; then docker/monitoring/render.py draws every panel.
"""

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from docker.monitoring.render import Window, draw_dashboard
from tests.e2e.conftest import ServerProcess
from tests.e2e.daemons import Callers, Proxy, free_port, prometheus
from tests.e2e.stub_server import FACELESS, RAISES
from tests.service.support import as_file, noise, plain


@contextlib.contextmanager
def calling(address: str, body: bytes, *, number: int) -> Iterator[None]:
    with Callers(address, body, number=number, most=10**9).calling():
        yield


def start(port: int) -> ServerProcess:
    settings = {
        "http_port": port,
        "codec_threads": 1,
        "queue_capacity": 8,
        "max_images_per_request": 4,
        "drain_delay_seconds": 2,
    }
    arguments = ["--base-ms", "40", "--item-ms", "4", "--reads-expressions"]
    return ServerProcess(["tests.e2e.stub_server", *arguments], settings)


class Replicas:
    """The servers by number; one that is restarted keeps its port."""

    def __init__(self, number: int) -> None:
        self.ports = [free_port() for _ in range(number)]
        self._servers = [start(port) for port in self.ports]

    def wait_for_addresses(self) -> None:
        for server in self._servers:
            server.wait_for_address()

    def restart(self, number: int) -> None:
        self._servers[number].signal(signal.SIGTERM)
        self._servers[number].wait()
        self._servers[number] = start(self.ports[number])
        self._servers[number].wait_for_address()

    def kill(self) -> None:
        for server in self._servers:
            server.kill()


def live(address: str, replicas: Replicas, *, seconds: float) -> None:
    """A third of the time as usual, a third after a restart with failures, a third in a rush."""
    with calling(address, as_file(noise()), number=2):
        with calling(address, as_file(plain(FACELESS)), number=1):
            time.sleep(seconds / 3)
        replicas.restart(0)
        with calling(address, as_file(plain(RAISES)), number=1), calling(address, b"", number=1):
            time.sleep(seconds / 3)
        with calling(address, as_file(noise()), number=12):
            time.sleep(seconds / 3)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path, help="PNG to write")
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args()
    replicas = Replicas(2)
    try:
        replicas.wait_for_addresses()
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            address = stack.enter_context(Proxy(replicas.ports).running(folder))
            observer = stack.enter_context(prometheus(folder, replicas.ports))
            began_at = time.time()
            live(address, replicas, seconds=options.seconds)
            empty = draw_dashboard(observer, options.out, Window(began_at, time.time()))
    finally:
        replicas.kill()
    print(f"{options.out}; without data: {', '.join(empty) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
