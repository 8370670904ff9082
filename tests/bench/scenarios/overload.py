"""4 and 17: five times too much comes in; work goes on, the rest is refused, probes answer."""

import asyncio
import json
import random
import subprocess
import sys
from dataclasses import dataclass

from service.bench.load import Outcome, poisson_arrivals
from service.bench.report import Report, report_on
from service.bench.stub import RunningStub
from tests.bench.scenarios.setup import (
    Check,
    Setup,
    at_least,
    at_most,
    equals,
    load_on,
    resident_bytes,
    url_of,
)

FACTOR = 5


@dataclass(frozen=True, kw_only=True)
class _Overloaded:
    peak: Report
    over: Report
    probes: list[dict[str, float]]
    memory_before: int
    memory_after: int


def run(setup: Setup) -> list[Check]:
    seen = _overload(setup)
    goodput = seen.over.goodput / seen.peak.goodput
    memory = seen.memory_after / seen.memory_before
    probe_ms = 1000 * max(probe["seconds"] for probe in seen.probes)
    return [
        equals("statuses", set(seen.over.statuses), {"200", "429"}),
        equals("refusals without Retry-After", seen.over.refusals_without_retry_after, 0),
        at_least("refused", seen.over.refused.count, setup.size(10, full=1000)),
        at_least("goodput over the peak", goodput, setup.size(0.5, full=0.9)),
        at_most("p99 of refusals, ms", seen.over.refused.p99, setup.size(3000.0, full=20.0)),
        at_most("memory after over before", memory, setup.size(1.3, full=1.1)),
        equals("statuses of probes", {probe["status"] for probe in seen.probes}, {200}),
        at_least("probes", len(seen.probes), setup.size(1, full=100)),
        at_most("slowest probe, ms", probe_ms, setup.size(3000.0, full=50.0)),
        # If not, the client was overloaded, and the figures above are its own.
        at_most(
            "p99 lateness of the client, ms", seen.over.send_lag.p99, setup.size(3000.0, full=5.0)
        ),
    ]


def _overload(setup: Setup) -> _Overloaded:
    # A batch of 16 is 185 ms: 86 a second, and five times that is far from what HTTP alone can do
    # on one core.
    with setup.service(base_ms=25, item_ms=10, queue_capacity=48) as stub:
        seconds = setup.size(2.0, full=20.0)
        # As many callers as are admitted: more would be refused already.
        peak = asyncio.run(load_on(stub).closed_loop(num_callers=46, seconds=seconds))
        peak_report = report_on(peak, warm_up_seconds=seconds / 10)
        memory_before = resident_bytes(stub)
        rate = FACTOR * peak_report.goodput
        with _probing(stub, seconds=seconds) as probing:
            over = _flood(stub, rate=rate, seconds=seconds)
            probes = json.loads(probing.communicate(timeout=60)[0])
        return _Overloaded(
            peak=peak_report,
            over=report_on(over, warm_up_seconds=seconds / 10),
            probes=probes,
            memory_before=memory_before,
            memory_after=resident_bytes(stub),
        )


def _flood(stub: RunningStub, *, rate: float, seconds: float) -> Outcome:
    arrivals = poisson_arrivals(rate, seconds=seconds, rng=random.Random(0))
    return asyncio.run(load_on(stub).open_loop(arrivals))


def _probing(stub: RunningStub, *, seconds: float) -> subprocess.Popen[str]:
    """A process that asks as an orchestrator does, undisturbed by the flood's own client."""
    command = [sys.executable, "-m", "tests.bench.scenarios.prober", url_of(stub), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
