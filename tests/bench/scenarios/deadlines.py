"""6: whoever cannot be served in time is told so in time, and nothing is computed for it."""

import asyncio
from collections.abc import Sequence

from service.bench.load import Load, Sample, uniform_arrivals
from service.bench.stub import RunningStub
from tests.bench.scenarios.setup import (
    Check,
    Exposition,
    Setup,
    at_most,
    equals,
    load_on,
    requests_to,
    url_of,
    wait_until,
)

SERIES = "affectsr_batch_size_sum"
_DEADLINES_MS = (50, 100, 200)
# One batch takes that long; who comes behind it in a hurry comes too late.
_BATCH_MS = 4000
_COMING_SECONDS = 1.2


def run(setup: Setup) -> list[Check]:
    num_hurried = setup.size(20, full=200)
    rate = num_hurried / _COMING_SECONDS
    return [
        *_hurry(setup, "one by one", uniform_arrivals(rate, seconds=_COMING_SECONDS)),
        *_hurry(setup, "all at once", [0.0] * num_hurried),
    ]


def _hurry(setup: Setup, how: str, arrivals: Sequence[float]) -> list[Check]:
    """Hurried callers of each deadline, who come so."""
    with setup.service(base_ms=_BATCH_MS, item_ms=0, queue_capacity=1000) as stub:

        async def late(deadline_ms: int) -> tuple[int, list[Sample]]:
            requests = requests_to(stub, X_Request_Timeout_Ms=str(deadline_ms))
            load = Load(stub.address, requests, max_connections=1000)
            return deadline_ms, (await load.open_loop(arrivals)).samples

        async def scene() -> list[tuple[int, list[Sample]]]:
            async with asyncio.TaskGroup() as group:
                first = group.create_task(load_on(stub).open_loop([0.0]))
                assert await asyncio.to_thread(wait_until, lambda: _is_computing(stub))
                hurried = await asyncio.gather(*(late(deadline) for deadline in _DEADLINES_MS))
            assert [s.status for s in first.result().samples] == [200]
            return hurried

        hurried = asyncio.run(scene())
        ran = Exposition(url_of(stub)).value(SERIES)
        expired = Exposition(url_of(stub)).statuses("/v1/upscale")
    # From when each was sent: to open 600 connections takes the client a tenth of a second.
    over_ms = sorted(
        1000 * (s.finished - s.sent) - deadline_ms for deadline_ms, done in hurried for s in done
    )
    statuses = {s.status for _, done in hurried for s in done}
    return [
        equals(f"{how}: statuses of the hurried", statuses, {504}),
        equals(f"{how}: 504 by the service's own count", expired.get(504), len(over_ms)),
        equals(f"{how}: images that ran", ran, 1.0),
        at_most(
            f"{how}: p99 of ms beyond the deadline",
            over_ms[int(0.99 * len(over_ms))],
            setup.size(1000.0, full=50.0),
        ),
    ]


def _is_computing(stub: RunningStub) -> bool:
    """Whether what was admitted has left the queue for the device."""
    seen = Exposition(url_of(stub))
    return seen.value("affectsr_inflight") == 1 and seen.value("affectsr_queue_depth") == 0
