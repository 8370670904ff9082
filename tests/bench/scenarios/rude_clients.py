"""10: slow and broken uploads take nobody's place, and the others hardly notice."""

import asyncio
import random
import subprocess
import sys

from service.bench.load import Sample, poisson_arrivals
from service.bench.report import Latencies
from service.bench.stub import RunningStub
from tests.bench.scenarios.setup import (
    Check,
    Exposition,
    Setup,
    at_most,
    equals,
    load_on,
    num_files,
    url_of,
    wait_until,
)


def run(setup: Setup) -> list[Check]:
    num_rounds, seconds = setup.size(2, full=5), setup.size(1.5, full=10.0)
    quiet: list[Sample] = []
    disturbed: list[Sample] = []
    # A batch of n is 20 + 5 n ms, so 60 a second are a third of what it can do.
    with setup.service(base_ms=20, item_ms=5, upload_timeout_ms=1000) as stub:
        _steady_load(stub, seconds=1.0, seed=0)
        wait_until(lambda: _is_idle(stub))
        files_before = num_files(stub)
        for number in range(num_rounds):
            quiet += _steady_load(stub, seconds=seconds, seed=number)
            with subprocess.Popen(_rude_command(stub, seconds=seconds)):
                disturbed += _steady_load(stub, seconds=seconds, seed=number)
        is_idle = wait_until(lambda: _is_idle(stub) and num_files(stub) <= files_before)
        timed_out = Exposition(url_of(stub)).statuses("/v1/upscale").get(408, 0)
        left = Exposition(url_of(stub)).statuses("/v1/upscale").get(499, 0)
    p99 = {
        name: Latencies.of([sample.seconds for sample in samples]).p99
        for name, samples in (("quiet", quiet), ("disturbed", disturbed))
    }
    return [
        equals("statuses of the others", {s.status for s in quiet + disturbed}, {200}),
        equals("some slow ones were answered 408", timed_out > 0, True),
        equals("some left in the middle", left > 0, True),
        equals("files and places are free again", is_idle, True),
        at_most(
            "p99 of the others over p99 without",
            p99["disturbed"] / p99["quiet"],
            setup.size(5.0, full=1.1),
        ),
    ]


def _steady_load(stub: RunningStub, *, seconds: float, seed: int) -> list[Sample]:
    arrivals = poisson_arrivals(60, seconds=seconds, rng=random.Random(seed))
    return asyncio.run(load_on(stub).open_loop(arrivals)).samples


def _rude_command(stub: RunningStub, *, seconds: float) -> list[str]:
    command = [sys.executable, "-m", "tests.bench.scenarios.rude_client"]
    return [*command, stub.address.host, str(stub.address.port), str(seconds)]


def _is_idle(stub: RunningStub) -> bool:
    return Exposition(url_of(stub)).value("affectsr_inflight") == 0
