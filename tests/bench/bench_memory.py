"""What memory and how many cores a replica uses, started as the image starts it.

    python -m tests.bench.bench_memory [--photos 8] [--faces 400]

`affectsr serve` in a process of its own, without an engine cache: its memory when it is ready, and
the highest of each kind of work by itself: faces from 32 callers in full batches at either scale,
one photo of 4000 x 3000 px with `factor=2`, and several such photos at once, of which admission
lets in what it may. What callers were answered is told as well. Further settings come from the
environment, as in an image. Memory is Linux' (/proc), resident.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bench.sample_face import sample_face
from tests.e2e.conftest import ServerProcess
from tests.e2e.daemons import Callers, Send
from tests.service.support import as_file

_LARGE = (4000, 3000)
_NUM_CALLERS = 32
_MOST_SECONDS = 600
_MIB_KIB = 1024


class Process:
    """A process by its number, as Linux counts it."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)

    def memory_mib(self) -> tuple[float, float]:
        """Resident now, and at its highest since `forget_highest`."""
        lines = (self._folder / "status").read_text("ascii").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        now, highest = (int(fields[name].split()[0]) / _MIB_KIB for name in ("VmRSS", "VmHWM"))
        return now, highest

    def forget_highest(self) -> None:
        (self._folder / "clear_refs").write_text("5", "ascii")

    def cpu_seconds(self) -> float:
        fields = (self._folder / "stat").read_text("ascii").rpartition(")")[2].split()
        user, system = int(fields[11]), int(fields[12])
        return (user + system) / os.sysconf("SC_CLK_TCK")


def send_to(query: str, body: bytes, content_type: str) -> Send:
    headers = {"Content-Type": content_type, "X-Request-Timeout-Ms": "120000"}
    return lambda client: client.post(f"/v1/upscale?{query}", content=body, headers=headers)


def large_photo() -> bytes:
    """A smooth picture with ten faces of 44 px, as a JPEG."""
    coarse = np.random.default_rng(0).integers(60, 200, (6, 8, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize(_LARGE, Image.Resampling.BICUBIC)
    face = sample_face(200)
    for number in range(10):
        photo.paste(face, (300 + 700 * (number % 5), 300 + 1200 * (number // 5)))
    return as_file(photo, "JPEG")


def report(process: Process, what: str, callers: Callers, *, answers: int, seconds: float) -> None:
    """Let callers call for so long, or until so many answers are there; print what it took."""
    process.forget_highest()
    began_at, used = time.monotonic(), process.cpu_seconds()
    with callers.calling():
        callers.wait_for(answers, seconds=seconds)
    taken = time.monotonic() - began_at
    cores = (process.cpu_seconds() - used) / taken
    now, highest = process.memory_mib()
    print(
        f"{what}: {highest:.0f} MiB at its highest, {now:.0f} MiB after it, {cores:.2f} cores; "
        f"{dict(callers.answers)} in {taken:.0f} s"
    )


def measure(address: str, process: Process, options: argparse.Namespace) -> None:
    ready, highest = process.memory_mib()
    print(f"ready: {ready:.0f} MiB, {highest:.0f} MiB at its highest while it started")
    for scale in (4, 8):
        crop = sample_face(128 // scale)
        send = send_to(f"scale={scale}", as_file(crop), "image/png")
        callers = Callers(address, send, number=_NUM_CALLERS, most=options.faces)
        report(process, f"faces at x{scale}", callers, answers=options.faces, seconds=_MOST_SECONDS)
    send = send_to("mode=photo&factor=2", large_photo(), "image/jpeg")
    for number in (1, options.photos):
        callers = Callers(address, send, number=number, most=number)
        report(process, f"{number} photos at once", callers, answers=number, seconds=_MOST_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=8, help="at once")
    parser.add_argument("--faces", type=int, default=400, help="of each scale")
    options = parser.parse_args()
    settings = {
        name.removeprefix("AFFECTSR_").lower(): value
        for name, value in os.environ.items()
        if name.startswith("AFFECTSR_") and name != "AFFECTSR_DATA"
    }
    server = ServerProcess(
        ["service", "serve", "--port", "0"], {"engine_cache_dir": "", **settings}
    )
    try:
        host, port = server.wait_for_address()
        measure(f"http://{host}:{port}", Process(server.pid), options)
    finally:
        server.kill()


if __name__ == "__main__":
    main()
