"""24: memory and files after very many requests of every kind are what they were before."""

import asyncio
import sys
import time
from collections import Counter

from service.bench.connection import post_request
from service.bench.load import Load
from service.bench.stub import RunningStub
from tests.bench.scenarios.setup import (
    IMAGES,
    PNG,
    Check,
    Setup,
    at_most,
    equals,
    num_files,
    resident_bytes,
    wait_until,
)
from tests.service.support import as_file, noise

NUM_CALLERS = 16


def run(setup: Setup) -> list[Check]:
    number = setup.size(1500, full=100_000)
    statuses: Counter[int] = Counter()
    with setup.service(base_ms=2, item_ms=0.2) as stub:
        requests = _mixture(stub)

        def go_on(total: int) -> None:
            while statuses.total() < total:
                load = Load(stub.address, requests)
                outcome = asyncio.run(load.closed_loop(num_callers=NUM_CALLERS, seconds=1.0))
                statuses.update(sample.status for sample in outcome.samples)

        go_on(number // 10)
        memory_before, files_before = resident_bytes(stub), num_files(stub)
        for tenth in range(2, 11):
            started_at, begun_with = time.monotonic(), statuses.total()
            go_on(number * tenth // 10)
            if setup.is_full:
                _tell(stub, statuses.total(), statuses.total() - begun_with, started_at)
        are_closed = wait_until(lambda: num_files(stub) <= files_before)
        growth = resident_bytes(stub) / memory_before - 1
    return [
        equals("kinds of answers", set(statuses), {200, 400, 406, 413, 415, 422}),
        at_most(
            f"growth of memory over {statuses.total()} requests", growth, setup.size(0.1, full=0.02)
        ),
        equals("no file or socket more", are_closed, True),
    ]


def _mixture(stub: RunningStub) -> list[bytes]:
    """Two thirds good ones of all forms, and one of each kind of mistake."""
    good = [
        _upscale(stub, image, "?readout=none", Accept=accept)
        for image in IMAGES[:16]
        for accept in ("image/jpeg", "image/png", "image/webp", "application/json")
    ]
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    form = b"".join(head + image + b"\r\n" for image in IMAGES[:3]) + b"--x--\r\n"
    forms = [_upscale(stub, form, "", Content_Type="multipart/form-data; boundary=x")] * 8
    bad = [
        _upscale(stub, IMAGES[0][:60], ""),
        _upscale(stub, b"", ""),
        _upscale(stub, b"GIF89a" + bytes(100), ""),
        _upscale(stub, as_file(noise(4, 4)), ""),
        _upscale(stub, as_file(noise(1100, 300)), ""),
        _upscale(stub, IMAGES[0], "?scale=5"),
        _upscale(stub, IMAGES[0], "", Accept="text/html"),
        _upscale(stub, form[:-20], "", Content_Type="multipart/form-data; boundary=x"),
    ]
    return good + forms + bad * 4


def _upscale(stub: RunningStub, body: bytes, query: str, **headers: str) -> bytes:
    named = PNG | {name.replace("_", "-"): value for name, value in headers.items()}
    return post_request(stub.address, f"/v1/upscale{query}", body, headers=named)


def _tell(stub: RunningStub, total: int, number: int, started_at: float) -> None:
    seconds = time.monotonic() - started_at
    sys.stderr.write(
        f"  {total} requests, {resident_bytes(stub) / 2**20:.1f} MiB, {num_files(stub)} files, "
        f"{10_000 * seconds / number:.0f} s for 10,000\n"
    )
