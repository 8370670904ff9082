"""`affectsr serve` as a process of its own, from when it is ready."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.bench.connection import Address
from service.settings import environment_name

_START_SECONDS = 120
_POLL_SECONDS = 0.01


@dataclass(frozen=True, kw_only=True)
class Served:
    """A service that is ready.

    Attributes:
        seconds_to_ready: from the process's start to the first 200 of /readyz.
    """

    address: Address
    process: subprocess.Popen[bytes]
    seconds_to_ready: float

    def memory_mib(self) -> tuple[float, float]:
        """Resident memory now and at its highest."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        values = dict(line.split(":", 1) for line in status.splitlines())
        now, peak = (int(values[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
        return now, peak


@contextlib.contextmanager
def served(settings: Mapping[str, object]) -> Iterator[Served]:
    """Serve on a free port while the block runs.

    Args:
        settings: by field, beyond those of the environment.

    Raises:
        RuntimeError: it does not become ready, or does not end by itself.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = Address(host="127.0.0.1", port=probe.getsockname()[1])
    given = {"log_level": "warning", "drain_delay_seconds": 0, **settings}
    variables = {environment_name(name): str(value) for name, value in given.items()}
    command = [sys.executable, "-m", "service", "serve", f"--port={address.port}"]
    started_at = time.perf_counter()
    with subprocess.Popen(command, env={**os.environ, **variables}) as process:
        try:
            _wait_until_ready(process, address)
            seconds = time.perf_counter() - started_at
            yield Served(address=address, process=process, seconds_to_ready=seconds)
        finally:
            process.terminate()
            status = process.wait()
    if status != 0:
        raise RuntimeError(f"the service ended with status {status}")


def _wait_until_ready(process: subprocess.Popen[bytes], address: Address) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the service ended with status {process.returncode} as it started")
        connection = http.client.HTTPConnection(address.host, address.port, timeout=1)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:  # nobody listens yet
            pass
        finally:
            connection.close()
        time.sleep(_POLL_SECONDS)
    raise RuntimeError(f"the service is not ready after {_START_SECONDS} s")
