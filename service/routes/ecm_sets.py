"""Running sets: list them, look at one, forget it."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from service.routes.ecm_openapi import SET_RESPONSES
from service.routes.ecm_reply import describe_entries, describe_set
from service.routes.ecm_request import SET_NAME_PATTERN, require_set_name
from service.routes.services import ecm_of, owner_of, services_of
from service.schemas import EcmSet, EcmSetList, Problem

router = APIRouter(tags=["ecm"])

# Described only: `require_set_name` checks it, whose message says more.
SetName = Annotated[str, Path(json_schema_extra={"pattern": f"^{SET_NAME_PATTERN}$"})]

_UNAVAILABLE = {"model": Problem, "description": "The sets cannot be reached now."}


@router.get("/v1/ecm/sets", summary="List the running sets", responses={503: _UNAVAILABLE})
async def list_sets(request: Request) -> EcmSetList:
    """All running sets by name, with the number of their pairs."""
    sets = ecm_of(services_of(request)).sets
    return EcmSetList(sets=describe_entries(await sets.entries(owner_of(request))))


@router.get("/v1/ecm/sets/{name}", summary="Show a running set", responses=SET_RESPONSES)
async def show_set(request: Request, name: SetName) -> EcmSet:
    """The metric of all pairs that were added, its interval, and a table by expression."""
    sets = ecm_of(services_of(request)).sets
    found = await sets.get(owner_of(request), require_set_name(name))
    return await asyncio.to_thread(describe_set, found)


@router.delete(
    "/v1/ecm/sets/{name}",
    summary="Forget a running set",
    status_code=204,
    response_class=Response,
    responses=SET_RESPONSES,
)
async def delete_set(request: Request, name: SetName) -> None:
    """Forget a set and the idempotency keys of its additions."""
    sets = ecm_of(services_of(request)).sets
    await sets.delete(owner_of(request), require_set_name(name))
