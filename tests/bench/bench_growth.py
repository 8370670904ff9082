"""Whether time grows linearly in faces and the rate stays flat in callers; with a plot.

    python -m tests.bench.bench_growth [--faces 16 32 64 128 256] [--callers 1 2 4 ... 64]
                                       [--seconds 6] [--scale 8] [--plot docs/growth.png]

`affectsr serve` in a process of its own; raw PNG bodies, JPEG back, expressions unread; the client
on the same cores. First each number of faces by sixteen callers, then each number of callers for
some seconds. Prints both as Markdown, how far the times are from the straight line through them
(least squares of relative errors, so that few faces count as well as many), and how far the rates
of two full batches of callers and more are from each other. The plot needs matplotlib.
"""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.bench.connection import Address, post_request
from service.bench.load import Load
from service.bench.report import report_on
from tests.bench.served import served
from tests.service.support import as_file, noise

_NUM_IMAGES = 64
# Two batches of the default size: one computes while the other gathers.
_FULL_CALLERS = 16


@dataclass(frozen=True, kw_only=True)
class Line:
    """Seconds over faces: what a load takes besides its faces, and what each of them takes."""

    base: float
    per_face: float

    def at(self, faces: float) -> float:
        return self.base + self.per_face * faces


def line_through(faces: Sequence[int], seconds: Sequence[float]) -> Line:
    """Least squares of relative errors."""
    weights = 1 / np.asarray(seconds)
    columns = np.stack([weights, np.asarray(faces) * weights], axis=1)
    (base, per_face), *_ = np.linalg.lstsq(columns, np.ones(len(faces)), rcond=None)
    return Line(base=float(base), per_face=float(per_face))


async def seconds_of(address: Address, requests: Sequence[bytes], num_faces: int) -> float:
    """Time until so many faces are back, as many under way at once as two batches hold."""
    load = Load(address, requests, max_connections=_FULL_CALLERS)
    outcome = await load.open_loop([0.0] * num_faces)
    if any(sample.status != 200 for sample in outcome.samples):
        raise RuntimeError("the service refused a face")
    return outcome.seconds


async def rate_of(
    address: Address, requests: Sequence[bytes], num_callers: int, *, seconds: float
) -> float:
    """Faces a second that so many callers get, each with one request under way."""
    load = Load(address, requests)
    outcome = await load.closed_loop(num_callers=num_callers, seconds=seconds)
    return report_on(outcome, warm_up_seconds=seconds / 4).goodput


async def measure(options: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Seconds of each number of faces, faces a second of each number of callers."""
    side_px = 128 // options.scale
    images = [as_file(noise(side_px, side_px, seed=seed)) for seed in range(_NUM_IMAGES)]
    path = f"/v1/upscale?scale={options.scale}&readout=none"
    with served({}) as service:
        requests = [
            post_request(service.address, path, image, headers={"Content-Type": "image/png"})
            for image in images
        ]
        await seconds_of(service.address, requests, 2 * _FULL_CALLERS)  # warms up
        seconds = [await seconds_of(service.address, requests, count) for count in options.faces]
        rates = [
            await rate_of(service.address, requests, count, seconds=options.seconds)
            for count in options.callers
        ]
    return seconds, rates


def report(options: argparse.Namespace, seconds: Sequence[float], rates: Sequence[float]) -> Line:
    line = line_through(options.faces, seconds)
    print(f"x{options.scale}:\n\n| faces | seconds | line |\n|---|---|---|")
    for faces, taken in zip(options.faces, seconds, strict=True):
        print(f"| {faces} | {taken:.2f} | {line.at(faces):.2f} |")
    furthest = max(
        abs(taken / line.at(faces) - 1) for faces, taken in zip(options.faces, seconds, strict=True)
    )
    print(
        f"\n{1000 * line.per_face:.1f} ms a face and {1000 * line.base:.0f} ms besides; "
        f"{furthest:.1%} from the line at most\n\n| callers | faces/s |\n|---|---|"
    )
    for callers, rate in zip(options.callers, rates, strict=True):
        print(f"| {callers} | {rate:.1f} |")
    full = [r for c, r in zip(options.callers, rates, strict=True) if c >= _FULL_CALLERS]
    if full:
        print(
            f"\nfrom {_FULL_CALLERS} callers on {min(full):.1f} to {max(full):.1f} faces/s: "
            f"{max(full) / min(full) - 1:.1%} apart"
        )
    return line


def plot(
    options: argparse.Namespace, seconds: Sequence[float], rates: Sequence[float], line: Line
) -> None:
    """Draw both."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(options.faces, seconds, "o", label="measured")
    ends = [0, max(options.faces)]
    left.plot(ends, [line.at(end) for end in ends], "-", label="straight line")
    left.set(xlabel="faces", ylabel="seconds", title="Time over faces", xlim=0, ylim=0)
    left.legend()
    right.plot(options.callers, rates, "o-")
    right.set(xlabel="callers at once", ylabel="faces/s", title="Rate over callers", ylim=0)
    right.set_xscale("log", base=2)
    right.set_xticks(options.callers, [str(count) for count in options.callers])
    figure.suptitle(f"affectsr serve, x{options.scale}")
    figure.savefig(options.plot, dpi=100)


def main() -> None:
    """Parse the command line, measure, print, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=int, nargs="+", default=[16, 32, 64, 128, 256])
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--seconds", type=float, default=6.0, help="for each number of callers")
    parser.add_argument("--scale", type=int, choices=(4, 8), default=8)
    parser.add_argument("--plot", type=Path, help="PNG to write")
    options = parser.parse_args()
    seconds, rates = asyncio.run(measure(options))
    line = report(options, seconds, rates)
    if options.plot is not None:
        plot(options, seconds, rates, line)


if __name__ == "__main__":
    main()
