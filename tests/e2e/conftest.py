"""A real server process on a loopback port, with tiny models."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

START_SECONDS = 300  # the published models are converted for long on a busy machine
END_SECONDS = 30


class ServerProcess:
    """A server as a child process; its log lines are read as they come."""

    def __init__(
        self,
        arguments: Sequence[str],
        variables: Mapping[str, object],
        *,
        confined_by: Sequence[str] = (),
    ) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("AFFECTSR_")}
        ours = {f"AFFECTSR_{name}".upper(): str(value) for name, value in variables.items()}
        self._process = subprocess.Popen(
            [*confined_by, sys.executable, "-m", *arguments],
            env={**inherited, "AFFECTSR_LOG_FORMAT": "json", **ours},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self.lines: list[str] = []
        self._new_lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait_for_address(self) -> tuple[str, int]:
        """Host and port, once it listens."""
        message = self.wait_for_line("listening on http://")
        host, _, port = message.split()[2].removeprefix("http://").rpartition(":")
        return host, int(port.rstrip(";"))

    def wait_for_line(self, beginning: str) -> str:
        """The next log message that begins so."""
        while (line := self._new_lines.get(timeout=START_SECONDS)) is not None:
            message: str = json.loads(line)["message"]
            if message.startswith(beginning):
                return message
        raise AssertionError(f"it ended and never said {beginning!r}:\n" + "\n".join(self.lines))

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


@pytest.fixture
def started() -> Iterator[list[ServerProcess]]:
    """Servers that are gone after the test."""
    servers: list[ServerProcess] = []
    yield servers
    for server in servers:
        server.kill()


@pytest.fixture
def serve(tiny_model_root: Path, started: list[ServerProcess]) -> Callable[..., ServerProcess]:
    """Start `affectsr serve`, with settings as keyword arguments; a command may confine it."""

    def start(
        *, port: int = 0, confined_by: Sequence[str] = (), **settings: object
    ) -> ServerProcess:
        defaults = {
            "model_root": tiny_model_root,
            "engine": "torch",  # OpenVINO converts for seconds
            "torch_num_threads": 1,
            "max_batch_size": 2,
        }
        arguments = ["service", "serve", "--port", str(port)]
        started.append(ServerProcess(arguments, {**defaults, **settings}, confined_by=confined_by))
        return started[-1]

    return start


@pytest.fixture
def serve_stub(started: list[ServerProcess]) -> Callable[..., ServerProcess]:
    """Start the stub server with arguments of its own, and settings as keyword arguments."""

    def start(*arguments: str, **settings: object) -> ServerProcess:
        defaults = {"http_port": 0, "codec_threads": 1}
        started.append(
            ServerProcess(["tests.e2e.stub_server", *arguments], {**defaults, **settings})
        )
        return started[-1]

    return start
