"""What the stages of a request took: told to the metrics and, by Server-Timing, to the caller."""

from collections.abc import Awaitable, Callable

from fastapi import Request
from fastapi.responses import Response

from service.engine_room import StageTimes
from service.routes.services import Services, waited_seconds


async def answer_timed(
    request: Request,
    services: Services,
    answer: Callable[[StageTimes, float], Awaitable[Response]],
) -> Response:
    """Have a request answered, given its stages' times to fill in and the time that it began.

    It began when it came to this machine: to its caller what it waited to be read counts, too.
    """
    times = StageTimes()
    started_at = services.clock() - waited_seconds(request)
    response = await answer(times, started_at)
    times.record("total", services.clock() - started_at)
    for stage, seconds in times.seconds.items():
        services.metrics.stage_finished(stage, seconds)
    timing = ", ".join(
        [f"{stage};dur={seconds * 1000:.1f}" for stage, seconds in times.seconds.items()]
    )
    response.raw_headers += [
        (b"server-timing", timing.encode("ascii")),
        (b"cache-control", b"no-store"),
    ]
    return response
