"""Probes and metrics: never queued, never refused, no key."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.errors import DeviceStalledError, NotReadyError
from service.lifecycle import State
from service.routes.services import services_of
from service.schemas import Health, Problem

router = APIRouter(tags=["health"])


@router.get(
    "/livez",
    summary="Is the process alive?",
    responses={503: {"model": Problem, "description": "Not now."}},
)
async def livez(request: Request) -> Health:
    """Whether the process is worth keeping: also while it drains."""
    lifecycle = services_of(request).lifecycle
    if not lifecycle.is_live:
        raise NotReadyError("the service is dead; restart the process")
    return Health(status=lifecycle.state.value)


@router.get(
    "/readyz",
    summary="Is new work welcome?",
    responses={503: {"model": Problem, "description": "Not now."}},
)
async def readyz(request: Request) -> Health:
    """Whether new work should be sent here: the models are loaded and it does not drain."""
    lifecycle = services_of(request).lifecycle
    if lifecycle.is_stalled:
        raise DeviceStalledError("the device does not answer; send work to another replica")
    if not lifecycle.is_ready:
        raise NotReadyError(f"the service is {lifecycle.state.value}; send work to another replica")
    return Health(status=State.READY.value)


@router.get(
    "/startupz",
    summary="Are the models loaded?",
    responses={503: {"model": Problem, "description": "Not yet."}},
)
async def startupz(request: Request) -> Health:
    """Whether loading and warming up are over; true from then on."""
    lifecycle = services_of(request).lifecycle
    if not lifecycle.has_started:
        raise NotReadyError("the service is starting; ask again in a few seconds")
    return Health(status=lifecycle.state.value)


@router.get(
    "/metrics",
    summary="Time series",
    response_class=Response,
    responses={
        200: {
            "description": "All time series.",
            "content": {
                media_type: {"schema": {"type": "string"}}
                for media_type in ("text/plain", "application/openmetrics-text")
            },
        }
    },
)
async def metrics(request: Request) -> Response:
    """All time series, as Prometheus text or OpenMetrics by Accept."""
    body, content_type = services_of(request).metrics.exposition(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": content_type})
