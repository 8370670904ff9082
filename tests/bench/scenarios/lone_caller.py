"""2: a caller who is alone pays for the batch of one, and little more."""

import asyncio
import statistics
import time

from service.bench.stub import StubEngine
from tests.bench.scenarios.setup import Check, Setup, at_most, equals, load_on
from tests.service.support import noise


def run(setup: Setup) -> list[Check]:
    # In full the cost that peers were measured at; it leaves 0.6 ms for everything else.
    base_ms, item_ms = setup.size(40.0, full=5.0), 1.0
    bare = StubEngine(base_seconds=base_ms / 1000, item_seconds=item_ms / 1000)
    calls, requests = [], []
    with setup.service(base_ms=base_ms, item_ms=item_ms) as stub:
        # In turns, so that a busy machine hurts both alike.
        for _ in range(setup.size(3, full=10)):
            calls += [_seconds_of_a_call(bare) for _ in range(setup.size(10, full=50))]
            load = load_on(stub).closed_loop(num_callers=1, seconds=setup.size(0.7, full=2.0))
            outcome = asyncio.run(load)
            requests += outcome.samples
    ratio = statistics.median(s.seconds for s in requests) / statistics.median(calls)
    return [
        equals("statuses", {s.status for s in requests}, {200}),
        at_most("median of a lone request over the bare call's", ratio, setup.size(2.0, full=1.1)),
    ]


def _seconds_of_a_call(engine: StubEngine) -> float:
    started_at = time.perf_counter()
    engine.upscale(engine.models[1].reference, [noise(16, 16)])
    return time.perf_counter() - started_at
