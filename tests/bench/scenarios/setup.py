"""What scenarios stand on: how large they are, a service to load, what they claim."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from service.bench.connection import post_request
from service.bench.load import Load
from service.bench.stub import RunningStub, running_stub
from tests.service.support import as_file, noise

SizeT = TypeVar("SizeT", int, float)

IMAGES = [as_file(noise(16, 16, seed=seed)) for seed in range(64)]
PNG = {"Content-Type": "image/png"}


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Whether a scenario is run in full, and the cores of the service; none means all."""

    is_full: bool
    server_cores: Sequence[int] = ()

    def size(self, scaled: SizeT, *, full: SizeT) -> SizeT:
        return full if self.is_full else scaled

    @contextlib.contextmanager
    def service(
        self, *, base_ms: float, item_ms: float, **settings: object
    ) -> Iterator[RunningStub]:
        """A stub that gathers up to 16, with settings by field."""
        with running_stub(
            base_ms=base_ms,
            item_ms=item_ms,
            cores=self.server_cores,
            settings={"max_batch_size": 16, "codec_threads": 1, **settings},
        ) as stub:
            yield stub


@dataclass(frozen=True)
class Check:
    """Something that a scenario claims."""

    claim: str
    holds: bool

    def __str__(self) -> str:
        return f"{'ok  ' if self.holds else 'FAIL'} {self.claim}"


def equals(what: str, value: object, expected: object) -> Check:
    return Check(f"{what}: {value} (must be {expected})", value == expected)


def at_most(what: str, value: float, bound: float) -> Check:
    return Check(f"{what}: {value:.4g} (at most {bound:g})", value <= bound)


def at_least(what: str, value: float, bound: float) -> Check:
    return Check(f"{what}: {value:.4g} (at least {bound:g})", value >= bound)


def requests_to(stub: RunningStub, images: Sequence[bytes] = IMAGES, **headers: str) -> list[bytes]:
    """A request for each image; headers by name with underscores."""
    named = PNG | {name.replace("_", "-"): value for name, value in headers.items()}
    path = "/v1/upscale?readout=none"
    return [post_request(stub.address, path, image, headers=named) for image in images]


def load_on(stub: RunningStub, **headers: str) -> Load:
    return Load(stub.address, requests_to(stub, **headers), max_connections=5000)


def url_of(stub: RunningStub) -> str:
    return f"http://{stub.address.host}:{stub.address.port}"


class Exposition:
    """The service's own counts, as they were when they were asked for."""

    def __init__(self, url: str) -> None:
        self._text = httpx.get(f"{url}/metrics", timeout=60).text

    def value(self, series: str) -> float:
        """Of one series, its labels included; 0 if it has not been counted yet."""
        found = re.search(rf"(?m)^{re.escape(series)} (\S+)$", self._text)
        return float(found[1]) if found else 0.0

    def statuses(self, route: str) -> dict[int, int]:
        """Answers by status."""
        pattern = rf'affectsr_requests_total\{{code="(\d+)",route="{re.escape(route)}"\}} (\S+)'
        return {int(code): int(float(n)) for code, n in re.findall(pattern, self._text)}


def resident_bytes(stub: RunningStub) -> int:
    status = Path(f"/proc/{stub.process.pid}/status").read_text("ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return 1024 * int(line.split()[1])


def num_files(stub: RunningStub) -> int:
    """Open files and sockets of the service."""
    return len(list(Path(f"/proc/{stub.process.pid}/fd").iterdir()))


def wait_until(holds: Callable[[], bool], *, seconds: float = 60) -> bool:
    """Whether something came to hold in time."""
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return held
