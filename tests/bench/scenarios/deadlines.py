"""6: whoever cannot be served in time is told so in time, and nothing is computed for it."""

import asyncio

from service.bench.load import Load
from tests.bench.scenarios.setup import (
    Check,
    Exposition,
    Setup,
    at_most,
    equals,
    load_on,
    requests_to,
    url_of,
)

SERIES = "affectsr_batch_size_sum"


def run(setup: Setup) -> list[Check]:
    num_hurried = setup.size(20, full=200)
    deadlines_ms = (50, 100, 200)

    # One batch takes two seconds; who comes behind it in a hurry comes too late.
    with setup.service(base_ms=2000, item_ms=0, queue_capacity=1000) as stub:

        async def late(deadline_ms: int) -> list[float]:
            requests = requests_to(stub, X_Request_Timeout_Ms=str(deadline_ms))
            load = Load(stub.address, requests, max_connections=1000)
            outcome = await load.open_loop([0.0] * num_hurried)
            statuses.extend(s.status for s in outcome.samples)
            # From when each was sent: to open 600 connections takes the client a tenth of a second.
            return [1000 * (s.finished - s.sent) - deadline_ms for s in outcome.samples]

        async def scene() -> list[float]:
            async with asyncio.TaskGroup() as group:
                first = group.create_task(load_on(stub).open_loop([0.0]))
                await asyncio.sleep(0.3)
                tasks = [group.create_task(late(deadline_ms)) for deadline_ms in deadlines_ms]
            assert [s.status for s in first.result().samples] == [200]
            return [ms for task in tasks for ms in task.result()]

        statuses: list[int] = []
        over_ms = sorted(asyncio.run(scene()))
        ran = Exposition(url_of(stub)).value(SERIES)
        expired = Exposition(url_of(stub)).statuses("/v1/upscale")
    return [
        equals("statuses of the hurried", set(statuses), {504}),
        equals("answers 504 by the service's own count", expired.get(504), 3 * num_hurried),
        equals("images that ran", ran, 1.0),
        at_most(
            "p99 of ms beyond the deadline",
            over_ms[int(0.99 * len(over_ms))],
            setup.size(1000.0, full=50.0),
        ),
    ]
