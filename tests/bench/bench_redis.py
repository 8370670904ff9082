"""What a Redis in trouble costs the requests that could do without it.

    python -m tests.bench.bench_redis [--rounds 10] [--seconds 2] [--callers 4]
                                      [--base-ms 5] [--item-ms 1] [--only NAME ...]

For each kind of trouble (tests/redis_troubles.py) two services run as processes of their own,
around an engine that takes base + n item ms for n images: one shares its cache and the limits of
API keys through that Redis, the other keeps both in memory. They are called in turns (with,
without, without, with, ...) by callers that always have a request under way, each for an image
that the service has not seen, so that every request asks Redis in vain and writes to it. In the
middle of the rounds a Redis that is to be restarted is, in the turn of either service, as a process
that starts on the same cores holds up both. Printed are percentiles of both and their ratios; what
is asked for is a p99 ratio of at most 1.05, and no status but 200.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from service.bench.connection import Address, post_request
from service.bench.load import Load
from service.bench.stub import running_stub
from tests.redis_troubles import TROUBLES, TroubledRedis
from tests.service.access.keys import key_line
from tests.service.support import as_file, noise

_KEY = "bench"
_PERCENTILES = (50, 90, 99, 99.9)


@dataclass
class Seen:
    """What the callers of one service met with."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def percentile_ms(self, percentile: float) -> float:
        return 1000 * float(np.percentile(self.seconds, percentile))


class Faces:
    """Files that are all different: one picture whose first pixels count them."""

    def __init__(self) -> None:
        self._pixels = noise(32, 32)
        self._number = 0

    def take(self, count: int) -> list[bytes]:
        files = []
        for _ in range(count):
            self._number += 1
            self._pixels[0, 0] = list(self._number.to_bytes(3, "big"))
            files.append(as_file(self._pixels, compress_level=0))
        return files


async def _call(
    address: Address, faces: Sequence[bytes], options: argparse.Namespace, seen: Seen
) -> None:
    headers = {"Content-Type": "image/png", "X-API-Key": _KEY}
    requests = [post_request(address, "/v1/upscale", face, headers=headers) for face in faces]
    load = Load(address, requests)
    outcome = await load.closed_loop(num_callers=options.callers, seconds=options.seconds)
    if len(outcome.samples) > len(faces):
        raise RuntimeError("there are too few faces for so fast a service")
    seen.seconds += [sample.seconds for sample in outcome.samples]
    seen.statuses.update(sample.status for sample in outcome.samples)


async def _measure(
    redis: TroubledRedis, folder: Path, options: argparse.Namespace
) -> tuple[Seen, Seen]:
    keys = folder / "keys"
    keys.write_text(key_line("bench", _KEY, 9_999_999))
    with_redis, without = Seen(), Seen()
    faces = Faces()
    count = int(options.seconds * options.callers * 1000 / options.base_ms)
    with ExitStack() as stack:
        services = [
            stack.enter_context(
                running_stub(
                    base_ms=options.base_ms,
                    item_ms=options.item_ms,
                    settings={"api_keys_file": keys, "codec_threads": 1, **settings},
                )
            ).address
            for settings in (
                {"cache": "shared", "redis_url": redis.url, "log_level": "error"},
                {"cache": "local"},
            )
        ]
        for address in services:  # connections, caches and code get warm
            await _call(address, faces.take(count), options, Seen())
        for number in range(options.rounds):
            sides = [(services[0], with_redis), (services[1], without)]
            for address, seen in sides if number % 2 == 0 else reversed(sides):
                calling = asyncio.create_task(_call(address, faces.take(count), options, seen))
                if number == options.rounds // 2:
                    await redis.midway()
                await calling
    return with_redis, without


async def _run(options: argparse.Namespace) -> bool:
    """Measure and print; whether every request was answered with 200."""
    print(
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, "
        f"{options.callers} callers, {options.rounds} rounds of {options.seconds:g} s, "
        f"batch {options.base_ms:g} + {options.item_ms:g} n ms; "
        "with Redis / without it in ms, and their ratio\n"
    )
    head = " | ".join(f"p{percentile:g}" for percentile in _PERCENTILES)
    print(f"| Redis | requests | {head} | statuses |")
    print("|---" * (3 + len(_PERCENTILES)) + "|")
    is_well = True
    for name in options.only or TROUBLES:
        with tempfile.TemporaryDirectory() as folder:
            async with TROUBLES[name]() as redis:
                with_redis, without = await _measure(redis, Path(folder), options)
        cells = []
        for percentile in _PERCENTILES:
            ours, theirs = (seen.percentile_ms(percentile) for seen in (with_redis, without))
            cells.append(f"{ours:.1f} / {theirs:.1f} = {ours / theirs:.2f}")
        statuses = with_redis.statuses + without.statuses
        is_well &= statuses.keys() == {200}
        print(
            f"| {name} | {len(with_redis.seconds)} | {' | '.join(cells)} | {dict(statuses)} |",
            flush=True,
        )
    return is_well


def main() -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2, help="of each turn of a round")
    parser.add_argument("--callers", type=int, default=4)
    parser.add_argument("--base-ms", type=float, default=5)
    parser.add_argument("--item-ms", type=float, default=1)
    parser.add_argument("--only", nargs="+", choices=list(TROUBLES), help="default: all")
    return 0 if asyncio.run(_run(parser.parse_args())) else 1


if __name__ == "__main__":
    sys.exit(main())
