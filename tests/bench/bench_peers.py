"""Our service beside mosec and LitServe, around the same device of 5 + n ms and batches up to 16.

    python -m tests.bench.bench_peers FOLDER [--rounds 5] [--seconds 5] [--callers 64]
                                             [--only NAME ...]

FOLDER gets a virtual environment with the peers from PyPI, if it has none; nothing is installed
anywhere else. All servers are loaded in turns, round by round, so that a busy machine hurts all
alike: with many callers, then with one. Whoever has no turn is stopped (SIGSTOP): an idle LitServe
asks its queues all the time, for four fifths of a core. Medians of the rounds are printed.

Ours is the whole service: it decodes a PNG of 16 px, checks it, codes a JPEG of 128 px. Of each
peer there are two: "echo", which gives back the bytes that it got and so measures the server alone,
and "images", which does with Pillow what ours does between the wires. mosec takes raw bodies as
ours does, LitServe JSON. mosec waits up to 10 ms for a fuller batch unless told otherwise; "wait 1"
is the least that it can be told. All else is by their defaults.

The client is this process. On Linux with several cores it keeps to the last one and the servers to
the others; how busy it was is printed, for it must not be the limit.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from service.bench.connection import Address, post_request
from service.bench.load import Load, Outcome
from service.bench.report import report_on
from service.bench.stub import running_stub
from tests.bench.peers.device import BASE_SECONDS, ITEM_SECONDS, MAX_BATCH_SIZE
from tests.e2e.daemons import free_port, listens
from tests.service.support import as_file, noise

STUBS = Path(__file__).resolve().parent / "peers"
# Neither asks for torch.
REQUIREMENTS = ("mosec==0.9.8", "litserve==0.2.19", "pillow")
START_SECONDS = 120
IMAGE = as_file(noise(16, 16))


@dataclass(frozen=True)
class Peer:
    """Another server: its stub's arguments, given a port, and a request to it."""

    arguments: Callable[[int], Sequence[str]]
    request: Callable[[Address], bytes]


@dataclass
class Contender:
    """A server and what was measured of it, one of each a round."""

    name: str
    address: Address
    request: bytes
    send_signal: Callable[[signal.Signals], None]
    rates: list[float] = field(default_factory=list)
    lone_ms: list[float] = field(default_factory=list)
    client_shares: list[float] = field(default_factory=list)

    def stop(self) -> None:
        """Have its processes take no time until they are to go on."""
        self.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.send_signal(signal.SIGCONT)

    def measure(self, *, num_callers: int, seconds: float) -> None:
        crowd = self._load(num_callers=num_callers, seconds=seconds)
        report = report_on(crowd, warm_up_seconds=seconds / 5)
        self.rates.append(report.goodput)
        self.client_shares.append(report.client_cpu_share)
        lone = report_on(self._load(num_callers=1, seconds=seconds / 2))
        self.lone_ms.append(lone.succeeded.p50)
        if lone.statuses.keys() | report.statuses.keys() != {"200"}:
            raise RuntimeError(f"{self.name} answered {report.statuses}, {lone.statuses}")

    def _load(self, *, num_callers: int, seconds: float) -> Outcome:
        load = Load(self.address, [self.request])
        return asyncio.run(load.closed_loop(num_callers=num_callers, seconds=seconds))


def _raw(address: Address, path: str) -> bytes:
    return post_request(address, path, IMAGE, headers={"Content-Type": "image/png"})


def _json(address: Address, path: str) -> bytes:
    body = json.dumps({"image": base64.b64encode(IMAGE).decode()}).encode()
    return post_request(address, path, body, headers={"Content-Type": "application/json"})


def _mosec(kind: str, *, wait_ms: int) -> Peer:
    return Peer(
        lambda port: ["mosec_stub.py", kind, str(wait_ms), "--address=127.0.0.1", f"--port={port}"],
        lambda address: _raw(address, "/inference"),
    )


def _litserve(kind: str) -> Peer:
    return Peer(
        lambda port: ["litserve_stub.py", kind, str(port)],
        lambda address: _json(address, "/predict"),
    )


PEERS = {
    "mosec, echo": _mosec("echo", wait_ms=10),
    "mosec, echo, wait 1": _mosec("echo", wait_ms=1),
    "mosec, images": _mosec("images", wait_ms=10),
    "mosec, images, wait 1": _mosec("images", wait_ms=1),
    "LitServe, echo": _litserve("echo"),
    "LitServe, images": _litserve("images"),
}


def environment_in(folder: Path) -> Path:
    """The interpreter of an environment with the peers, which is made where there is none."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
    return python


@contextlib.contextmanager
def running(python: Path, arguments: Sequence[str], *, port: int) -> Iterator[int]:
    """Run a peer's stub while the block runs, in a process group of its own, which is given."""
    command = [str(python), str(STUBS / arguments[0]), *arguments[1:]]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{arguments[0]} does not listen; run it to see why")
                time.sleep(0.1)
            yield process.pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
                os.killpg(process.pid, signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)


@contextlib.contextmanager
def contenders(
    python: Path, names: Sequence[str], server_cores: Sequence[int]
) -> Iterator[list[Contender]]:
    """Ours and the peers of these names, once each has answered."""
    client_cores = os.sched_getaffinity(0)
    with contextlib.ExitStack() as stack:
        # Before they start: what a server starts by itself then stays there, too.
        os.sched_setaffinity(0, server_cores)
        stub = stack.enter_context(
            running_stub(
                base_ms=1000 * BASE_SECONDS,
                item_ms=1000 * ITEM_SECONDS,
                settings={"max_batch_size": MAX_BATCH_SIZE, "readout": "none"},
            )
        )
        stack.callback(stub.process.send_signal, signal.SIGCONT)  # or it would not end
        request = _raw(stub.address, "/v1/upscale")
        found = [Contender("ours", stub.address, request, stub.process.send_signal)]
        for name in names:
            port = free_port()
            arguments = PEERS[name].arguments(port)
            group = stack.enter_context(running(python, arguments, port=port))
            address = Address(host="127.0.0.1", port=port)
            request = PEERS[name].request(address)
            found.append(Contender(name, address, request, partial(os.killpg, group)))
        os.sched_setaffinity(0, client_cores)
        for contender in found:
            _wait_until_answered(contender)
            contender.stop()
        yield found


def _wait_until_answered(contender: Contender) -> None:
    deadline = time.monotonic() + START_SECONDS
    load = Load(contender.address, [contender.request], timeout_seconds=10)
    while time.monotonic() < deadline:
        if asyncio.run(load.open_loop([0.0])).samples[0].status == 200:
            return
        time.sleep(0.2)
    raise RuntimeError(f"{contender.name} does not answer with 200 after {START_SECONDS} s")


def _bare_call_ms() -> float:
    """What a batch of one takes where nothing is around it, sleeping past the time included."""
    seconds = []
    for _ in range(200):
        started_at = time.perf_counter()
        time.sleep(BASE_SECONDS + ITEM_SECONDS)
        seconds.append(time.perf_counter() - started_at)
    return 1000 * statistics.median(seconds)


def _report(found: Sequence[Contender], bare_ms: Sequence[float]) -> None:
    bare = statistics.median(bare_ms)
    ours = statistics.median(found[0].rates)
    most = MAX_BATCH_SIZE / (BASE_SECONDS + ITEM_SECONDS * MAX_BATCH_SIZE)
    print(f"Bare call: {bare:.2f} ms. Most that the device can do: {most:.0f} /s.\n")
    print("| | requests/s | ours over it | lone caller | over the bare call | client |")
    print("|---|---|---|---|---|---|")
    for contender in found:
        rate, lone = statistics.median(contender.rates), statistics.median(contender.lone_ms)
        share = statistics.median(contender.client_shares)
        print(
            f"| {contender.name} | {rate:.0f} | {ours / rate:.2f} | {lone:.2f} ms "
            f"| {lone / bare:.2f} | {share:.0%} of a core |"
        )


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="for the peers' virtual environment")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="of each load")
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--only", nargs="+", choices=list(PEERS), default=list(PEERS))
    options = parser.parse_args()
    python = environment_in(options.folder.resolve())
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    bare_ms = []
    with contenders(python, options.only, cores[:-1] or cores) as found:
        for _ in range(options.rounds):
            bare_ms.append(_bare_call_ms())
            for contender in found:
                contender.go_on()
                contender.measure(num_callers=options.callers, seconds=options.seconds)
                contender.stop()
    _report(found, bare_ms)


if __name__ == "__main__":
    sys.exit(main())
