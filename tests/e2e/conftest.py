"""A real server process on a loopback port, with tiny models."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.service.tiny_models import publish_tiny_models

START_SECONDS = 60
END_SECONDS = 30


class ServerProcess:
    """`affectsr serve` as a child process; its log lines are read as they come."""

    def __init__(self, environment: dict[str, str], *, port: int) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("AFFECTSR_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--port", str(port)],
            env={**inherited, "AFFECTSR_LOG_FORMAT": "json", **environment},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self.lines: list[str] = []
        self._new_lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for_address(self) -> tuple[str, int]:
        """Host and port, once it listens."""
        while (line := self._new_lines.get(timeout=START_SECONDS)) is not None:
            message = json.loads(line)["message"]
            if message.startswith("listening on http://"):
                host, _, port = message.split()[2].removeprefix("http://").rpartition(":")
                return host, int(port.rstrip(";"))
        raise AssertionError("the server ended before it listened:\n" + "\n".join(self.lines))

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Exit status, once it has ended."""
        status = self._process.wait(timeout=END_SECONDS)
        self._reader.join()
        return status

    def kill(self) -> None:
        self._process.kill()
        self.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line.rstrip("\n"))
            self._new_lines.put(line)
        self._new_lines.put(None)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    publish_tiny_models(root)
    return root


@pytest.fixture
def serve(tiny_models: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start servers, with variables as keyword arguments; all are gone after the test."""
    started: list[ServerProcess] = []

    def start(*, port: int = 0, **variables: object) -> ServerProcess:
        environment = {
            "AFFECTSR_MODEL_ROOT": str(tiny_models),
            "AFFECTSR_TORCH_NUM_THREADS": "1",
            "AFFECTSR_MAX_BATCH_SIZE": "2",
        }
        environment |= {f"AFFECTSR_{k}".upper(): str(v) for k, v in variables.items()}
        started.append(ServerProcess(environment, port=port))
        return started[-1]

    yield start
    for server in started:
        server.kill()
