"""POST /v1/ecm."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.ecm_pipeline import Comparison, EcmOrder, EcmPipeline
from service.engine_room import StageTimes
from service.logs import current_request_id
from service.pair_sets import IdempotencyKey
from service.routes.ecm_openapi import REQUEST, RESPONSES
from service.routes.ecm_reply import describe_addition, describe_comparison
from service.routes.ecm_request import ReceivedPairs, read_pairs
from service.routes.receiving import read_deadline, unless_caller_leaves
from service.routes.services import Services, ecm_of, owner_of, services_of
from service.routes.timing import answer_timed
from service.schemas import AddedToSet, EcmReply

router = APIRouter(tags=["ecm"])


PATH = "/v1/ecm"


@router.post(
    PATH,
    summary="Compare expressions",
    response_model=EcmReply,
    responses=RESPONSES,
    openapi_extra=REQUEST,
)
async def ecm(request: Request) -> Response:
    """Say how well expressions were kept, by the Emotion Consistency Metric.

    Send a form with file parts named `original` and `super_resolved`: one pair, or several in the
    same order on both sides. Each image is aligned by landmarks of its own and classified by
    itself, so sizes may differ. Every pair gets measures of its own; `ecm` is the metric of all of
    them together, which says little of few pairs: of one pair it is 100, 200, ... or null.

    With `?set=NAME` the pairs are also added to a running set. Give an `Idempotency-Key`, and the
    same request may be sent again after an error without its pairs counting twice.
    """
    services = services_of(request)

    async def answer(times: StageTimes, started_at: float) -> Response:
        return await _answer(request, services, times, started_at)

    return await answer_timed(request, services, answer)


async def _answer(
    request: Request, services: Services, times: StageTimes, started_at: float
) -> Response:
    pipeline = ecm_of(services)
    pipeline.require_classifier()
    deadline = read_deadline(request, services.settings, now=started_at)
    received = await read_pairs(request, services.settings, deadline=deadline, clock=services.clock)
    times.record("read", services.clock() - started_at)
    order = EcmOrder(
        originals=received.originals, super_resolved=received.super_resolved, deadline=deadline
    )

    async def work() -> tuple[Comparison, AddedToSet | None]:
        comparison = await pipeline.compare(order, times)
        return comparison, await _add_to_set(request, pipeline, received, comparison)

    comparison, added = await unless_caller_leaves(request, work())
    reply = describe_comparison(comparison, request_id=current_request_id(), added=added)
    return Response(reply.model_dump_json(), media_type="application/json")


async def _add_to_set(
    request: Request, pipeline: EcmPipeline, received: ReceivedPairs, comparison: Comparison
) -> AddedToSet | None:
    name = received.set_name
    if name is None:
        return None
    key = None
    if received.idempotency_key is not None:
        # Up to 16 MiB are hashed: off the loop.
        fingerprint = await asyncio.to_thread(received.fingerprint)
        key = IdempotencyKey(value=received.idempotency_key, fingerprint=fingerprint)
    added = await pipeline.add(owner_of(request), name, comparison, key=key)
    return describe_addition(name, added)
