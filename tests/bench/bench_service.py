"""What the service costs over its bare engine, on this machine.

    python -m tests.bench.bench_service [--rounds 3] [--faces 128] [--model-root FOLDER]

For each scale, alternating round by round so that a busy machine hurts both alike:
- bare engine: `Engine.upscale` on decoded faces in a process of its own, in full batches and alone;
- service: `affectsr serve` in another process, raw PNG bodies over loopback, JPEG back; first with
  twice `max_batch_size` connections that always have a request under way, then with one.
Medians of the rounds are printed as Markdown. The client is this process; it shares the cores with
the server, and its CPU time is printed so that one sees how much it took away.
"""

import argparse
import asyncio
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from model_store.image_tensor import RgbImage
from service.engine.loading import load_engine, open_store
from service.settings import Settings
from tests.service.support import as_file

_START_SECONDS = 120
_NUM_LONE_CALLS = 10


@dataclass
class Samples:
    """Measurements of one scale, one of each kind a round."""

    bare_rate: list[float] = field(default_factory=list)
    service_rate: list[float] = field(default_factory=list)
    bare_lone_ms: list[float] = field(default_factory=list)
    service_lone_ms: list[float] = field(default_factory=list)
    client_cpu_share: list[float] = field(default_factory=list)


class BareEngine:
    """The engine in a process of its own, asked for measurements."""

    def __init__(self, settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve_measurements, args=(theirs, settings))
        self._process.start()

    def measure(self, faces: Sequence[RgbImage], *, scale: int, batch_size: int) -> list[float]:
        """Seconds of each batch."""
        self._connection.send((faces, scale, batch_size))
        seconds: list[float] = self._connection.recv()
        return seconds

    def close(self) -> None:
        self._connection.send(None)
        self._process.join()


def _serve_measurements(connection: Connection, settings: Settings) -> None:
    engine = load_engine(open_store(settings), settings)
    engine.warm_up()
    references = {model.scale: model.reference for model in engine.models}
    while (asked := connection.recv()) is not None:
        faces, scale, batch_size = asked
        seconds = []
        for start in range(0, len(faces), batch_size):
            started_at = time.perf_counter()
            engine.upscale(references[scale], faces[start : start + batch_size])
            seconds.append(time.perf_counter() - started_at)
        connection.send(seconds)


class Service:
    """`affectsr serve` as a child process."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--port", str(port)],
            env={**os.environ, "AFFECTSR_LOG_LEVEL": "warning"},
        )

    async def wait_until_ready(self) -> None:
        async with asyncio.timeout(_START_SECONDS):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.1)
                    continue
                writer.close()
                return

    async def measure(self, requests: Sequence[bytes], *, num_connections: int) -> list[float]:
        """Seconds of each request, with so many under way at any time."""
        waiting = list(reversed(requests))
        seconds: list[float] = []

        async def work() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            while waiting:
                request = waiting.pop()
                started_at = time.perf_counter()
                await _exchange(reader, writer, request)
                seconds.append(time.perf_counter() - started_at)
            writer.close()

        await asyncio.gather(*(work() for _ in range(num_connections)))
        return seconds

    def memory_mib(self) -> tuple[float, float]:
        """Resident memory now and at its highest."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        values = dict(line.split(":", 1) for line in status.splitlines())
        now, peak = (int(values[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
        return now, peak

    def close(self) -> None:
        self._process.terminate()
        if self._process.wait() != 0:
            raise RuntimeError(f"the service ended with {self._process.returncode}")


def post_request(path: str, body: bytes, *, content_type: str) -> bytes:
    """A whole request by hand: a client library takes a share of the cores that matters."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {content_type}\r\n"
        f"X-Request-Timeout-Ms: 120000\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> bytes:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    answer = await reader.readexactly(length)
    if " 200 " not in head.partition("\r\n")[0]:
        raise RuntimeError(f"the service answered: {answer.decode()}")
    return answer


async def _run(options: argparse.Namespace, settings: Settings) -> None:
    service = Service(options.port)
    bare = BareEngine(settings)
    samples = {scale: Samples() for scale in (4, 8)}
    try:
        await service.wait_until_ready()
        idle_mib, _ = service.memory_mib()
        for scale in samples:
            faces = _faces(options.faces, side_px=128 // scale)
            for _ in range(options.rounds):
                await _measure_round(samples[scale], service, bare, faces, scale, settings)
        loaded_mib, peak_mib = service.memory_mib()
    finally:
        bare.close()
        service.close()
    _report(options, settings, samples)
    print(
        f"\nResident memory of the service: {idle_mib:.0f} MiB when ready, {loaded_mib:.0f} MiB "
        f"after the load, {peak_mib:.0f} MiB at its highest."
    )


async def _measure_round(
    samples: Samples,
    service: Service,
    bare: BareEngine,
    faces: Sequence[RgbImage],
    scale: int,
    settings: Settings,
) -> None:
    path = f"/v1/upscale?scale={scale}&readout=none"
    requests = [post_request(path, as_file(f), content_type="image/png") for f in faces]
    batch_size = settings.max_batch_size
    seconds = bare.measure(faces, scale=scale, batch_size=batch_size)
    samples.bare_rate.append(len(faces) / sum(seconds))

    started_at, cpu_before = time.perf_counter(), _cpu_seconds()
    await service.measure(requests, num_connections=2 * batch_size)
    elapsed = time.perf_counter() - started_at
    samples.service_rate.append(len(faces) / elapsed)
    samples.client_cpu_share.append((_cpu_seconds() - cpu_before) / elapsed)

    lone = bare.measure(faces[:_NUM_LONE_CALLS], scale=scale, batch_size=1)
    samples.bare_lone_ms.append(1000 * statistics.median(lone))
    lone = await service.measure(requests[:_NUM_LONE_CALLS], num_connections=1)
    samples.service_lone_ms.append(1000 * statistics.median(lone))


def _faces(count: int, *, side_px: int) -> list[RgbImage]:
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (count, side_px, side_px, 3), dtype=np.uint8))


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _report(options: argparse.Namespace, settings: Settings, samples: dict[int, Samples]) -> None:
    print(
        f"\n`python -m tests.bench.bench_service --rounds {options.rounds} --faces "
        f"{options.faces}`, {os.cpu_count()} cores ({platform.machine()}), "
        f"max_batch_size {settings.max_batch_size}, {settings.cpu_dtype}:\n"
    )
    print("| scale | bare engine | service | ratio | bare call | lone request | ratio | client |")
    print("|---|---|---|---|---|---|---|---|")
    for scale, found in samples.items():
        bare, service = statistics.median(found.bare_rate), statistics.median(found.service_rate)
        call, request = (
            statistics.median(found.bare_lone_ms),
            statistics.median(found.service_lone_ms),
        )
        print(
            f"| x{scale} | {bare:.2f} faces/s | {service:.2f} faces/s | {service / bare:.2f} "
            f"| {call:.1f} ms | {request:.1f} ms | {request / call:.2f} "
            f"| {statistics.median(found.client_cpu_share):.1%} of a core |"
        )


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--faces", type=int, default=128, help="faces in a round")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--model-root", help="other models than the published ones")
    options = parser.parse_args()
    if options.model_root:
        os.environ["AFFECTSR_MODEL_ROOT"] = options.model_root
    asyncio.run(_run(options, Settings()))


if __name__ == "__main__":
    main()
