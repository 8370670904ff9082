"""`affectsr bench`: which load, on what; prints the report, and writes it as JSON."""

import argparse
import asyncio
import contextlib
import json
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from service.bench.connection import Address, post_request
from service.bench.load import Load, Outcome, poisson_arrivals, uniform_arrivals
from service.bench.report import Report, report_on

_NUM_FACES = 64
_FACE_PX = 16


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("url", nargs="?", metavar="URL", help="a running service")
    target.add_argument(
        "--stub",
        nargs=2,
        type=float,
        metavar=("BASE_MS", "ITEM_MS"),
        help="start one whose engine takes BASE_MS + n ITEM_MS for a batch of n; the settings' "
        "variables are its own",
    )
    load = parser.add_mutually_exclusive_group()
    load.add_argument(
        "--callers", type=int, default=16, metavar="N", help="closed loop of N callers (16)"
    )
    load.add_argument("--rate", type=float, metavar="R", help="open loop of R requests a second")
    parser.add_argument("--seconds", type=float, default=10, help="of load (10)")
    parser.add_argument("--warm-up", type=float, default=2, metavar="S", help="not counted (2)")
    parser.add_argument(
        "--arrivals", choices=("poisson", "uniform"), default="poisson", help="of the open loop"
    )
    parser.add_argument("--deadline-ms", type=int, metavar="MS", help="of each request")
    parser.add_argument(
        "--image",
        type=Path,
        action="append",
        dest="images",
        metavar="FILE",
        help=f"to send, in turn; default: {_NUM_FACES} PNGs of {_FACE_PX} px of noise",
    )
    parser.add_argument("--query", default="", help="such as scale=8&readout=none")
    parser.add_argument("--accept", default="*/*", help="media type of the results")
    parser.add_argument("--api-key", metavar="KEY")
    parser.add_argument("--max-connections", type=int, default=2000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="of arrivals")
    parser.add_argument(
        "--client-core", type=int, metavar="N", help="keep the client there, and a stub elsewhere"
    )
    parser.add_argument("--json", type=Path, dest="json_file", metavar="FILE")


def bench(options: argparse.Namespace) -> Report:
    """Run the load that the arguments name and print what came of it.

    Raises:
        ValueError: the arguments do not fit together.
        OSError: an image cannot be read, the JSON file not be written.
        RuntimeError: the stub does not start.
    """
    if options.rate is not None and options.rate <= 0:
        raise ValueError(f"--rate is {options.rate:g}; it must be above 0")
    if options.callers < 1:
        raise ValueError(f"--callers is {options.callers}; it must be at least 1")
    bodies = _bodies(options.images)
    if options.client_core is not None:
        _stay_on(options.client_core)
    with _target(options) as address:
        requests = [_request(address, body, options) for body in bodies]
        load = Load(address, requests, max_connections=options.max_connections)
        outcome = asyncio.run(_run(load, options))
    deadline = None if options.deadline_ms is None else options.deadline_ms / 1000
    report = report_on(outcome, warm_up_seconds=options.warm_up, deadline_seconds=deadline)
    for line in report.lines():
        print(line)
    if options.json_file is not None:
        document = {"load": _describe_load(options), **report.as_json()}
        options.json_file.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return report


async def _run(load: Load, options: argparse.Namespace) -> Outcome:
    seconds = options.warm_up + options.seconds
    if options.rate is None:
        return await load.closed_loop(num_callers=options.callers, seconds=seconds)
    if options.arrivals == "uniform":
        return await load.open_loop(uniform_arrivals(options.rate, seconds=seconds))
    rng = random.Random(options.seed)
    return await load.open_loop(poisson_arrivals(options.rate, seconds=seconds, rng=rng))


@contextlib.contextmanager
def _target(options: argparse.Namespace) -> Iterator[Address]:
    if options.stub is None:
        yield Address.of(options.url)
        return
    from service.bench.stub import running_stub  # it imports torch

    base_ms, item_ms = options.stub
    cores: Sequence[int] = ()
    if options.client_core is not None:
        cores = sorted(set(range(os.cpu_count() or 1)) - {options.client_core})
    with running_stub(base_ms=base_ms, item_ms=item_ms, cores=cores, settings={}) as stub:
        yield stub.address


def _stay_on(core: int) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError("--client-core needs Linux; leave it out, and run the client elsewhere")
    available = os.cpu_count() or 1
    if not 0 <= core < available or available < 2:
        raise ValueError(f"--client-core is {core}; this machine has {available} cores, from 0")
    os.sched_setaffinity(0, {core})


def _request(address: Address, body: bytes, options: argparse.Namespace) -> bytes:
    headers = {"Content-Type": "application/octet-stream", "Accept": options.accept}
    if options.deadline_ms is not None:
        headers["X-Request-Timeout-Ms"] = str(options.deadline_ms)
    if options.api_key is not None:
        headers["Authorization"] = f"Bearer {options.api_key}"
    query = f"?{options.query}" if options.query else ""
    return post_request(address, f"/v1/upscale{query}", body, headers=headers)


def _bodies(images: Sequence[Path] | None) -> list[bytes]:
    if images:
        return [path.read_bytes() for path in images]
    return noise_files(_NUM_FACES, side_px=_FACE_PX)


def noise_files(count: int, *, side_px: int) -> list[bytes]:
    """PNG files that differ, so that no cache answers for the engine."""
    import numpy as np

    from service.images import encode_image

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side_px, side_px, 3), dtype=np.uint8)
    return [encode_image(image, "image/png") for image in images]


def _describe_load(options: argparse.Namespace) -> dict[str, object]:
    """What was asked for; no key, and no file's name."""
    kept = ("url", "stub", "callers", "rate", "seconds", "warm_up", "arrivals", "deadline_ms")
    named = {name: getattr(options, name) for name in kept}
    if options.rate is not None:
        named["callers"] = None
    return named | {"query": options.query, "accept": options.accept, "cores": os.cpu_count()}
