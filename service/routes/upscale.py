"""POST /v1/upscale."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.engine_room import StageTimes
from service.errors import NotReadyError, ServiceError
from service.logs import current_request_id
from service.photo import PhotoFile
from service.pipeline import UpscaleOrder, UpscalePipeline
from service.routes.caching import describe_sources, refuses_cache
from service.routes.photo_reply import reply_with_photo
from service.routes.photo_request import photo_order, refuse_photo_parameters
from service.routes.receiving import read_deadline, unless_caller_leaves
from service.routes.services import Services, owner_of, services_of
from service.routes.timing import answer_timed
from service.routes.upscale_openapi import REQUEST, RESPONSES
from service.routes.upscale_reply import (
    ZIP,
    choose_reply_type,
    enclosed_image_type,
    name_results,
    reply_with_one,
    reply_with_several,
)
from service.routes.upscale_request import ReceivedRequest, read_request

PATH = "/v1/upscale"

router = APIRouter(tags=["upscale"])


@router.post(
    PATH,
    summary="Upscale face crops",
    response_class=Response,
    responses=RESPONSES,
    openapi_extra=REQUEST,
)
async def upscale(request: Request) -> Response:
    """Upscale one face crop, or several.

    Send the image as the body (`Content-Type: image/jpeg`, `image/png` or `image/webp`), or one
    or more as file parts named `image` of a multipart form. The result comes back as the `Accept`
    header asks: JPEG by default, WebP, PNG, or JSON with the file in base64; several as JSON or as
    a zip archive. A zip archive of images as the body (`application/zip`) comes back as one, its
    folders and names kept, or as JSON.

    A crop is padded to a square by its edge pixels and resampled to the model's grid (32 px for
    x4, 16 px for x8) unless it has that size already; `X-AffectSR-Resampled` says what was done.

    With `mode=photo` the image is a whole photo: its faces are found, upscaled, each by its size,
    and laid back into the photo, which is enlarged by Lanczos; JSON tells what became of each.
    """
    services = services_of(request)

    async def answer(times: StageTimes, started_at: float) -> Response:
        return await _answer(request, services, times, started_at)

    return await answer_timed(request, services, answer)


async def _answer(
    request: Request, services: Services, times: StageTimes, started_at: float
) -> Response:
    if services.pipeline is None or services.photos is None:
        raise NotReadyError("the service is starting; come back when /readyz says so")
    deadline = read_deadline(request, services.settings, now=started_at)
    received = await read_request(
        request, services.settings, deadline=deadline, clock=services.clock
    )
    times.record("read", services.clock() - started_at)
    accept = ", ".join(request.headers.getlist("accept"))
    reply_type = choose_reply_type(
        accept, num_images=len(received.images), is_archive=received.names is not None
    )
    wants_readout = received.wants_readout
    if wants_readout is None:
        wants_readout = services.settings.readout == "expression"
    note = None
    if received.mode == "face":
        refuse_photo_parameters(received)
    else:
        wanted = photo_order(
            received,
            received.mode,
            media_type=enclosed_image_type(reply_type),
            wants_readout=wants_readout,
            deadline=deadline,
        )
        photo = await unless_caller_leaves(request, services.photos.upscale(wanted, times))
        if isinstance(photo, PhotoFile):
            return reply_with_photo(photo, reply_type, request_id=current_request_id())
        note = photo.note
    order = UpscaleOrder(
        images=received.images,
        scale=received.scale,
        model=received.model,
        media_type=enclosed_image_type(reply_type),
        wants_readout=wants_readout,
        deadline=deadline,
        owner=owner_of(request),
        may_use_cache=not refuses_cache(request.headers.getlist("cache-control")),
    )
    return await _answer_crops(
        request,
        services,
        services.pipeline,
        order,
        times,
        received=received,
        reply_type=reply_type,
        note=note,
    )


async def _answer_crops(
    request: Request,
    services: Services,
    pipeline: UpscalePipeline,
    order: UpscaleOrder,
    times: StageTimes,
    *,
    received: ReceivedRequest,
    reply_type: str,
    note: str | None,
) -> Response:
    """Upscale crops of faces; `note` says why `auto` takes the image for one."""
    # Names that collide are told before any work.
    files = (
        name_results(received.names, num_images=len(received.images)) if reply_type == ZIP else None
    )
    outcomes = await unless_caller_leaves(request, pipeline.upscale(order, times))
    if len(outcomes) > 1 or received.names is not None:
        response = reply_with_several(
            outcomes,
            names=received.names,
            files=files,
            request_id=current_request_id(),
            describe_problem=services.describe_problem,
        )
    elif isinstance(outcomes[0], ServiceError):
        raise outcomes[0]
    else:
        response = reply_with_one(outcomes[0], reply_type, note=note)
    if services.settings.cache != "off":
        response.headers.update(describe_sources(outcomes, may_use_cache=order.may_use_cache))
    return response
