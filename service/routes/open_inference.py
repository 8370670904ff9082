"""Health and metadata by the Open Inference Protocol (V2), as KServe, Triton and their tools ask.

Images are upscaled by POST /v1/upscale alone; the protocol's tensors in JSON are not spoken here.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from service.engine.base import ServedModel
from service.routes.health import livez, readyz
from service.routes.models import ModelName, served_model
from service.schemas import (
    ModelMetadata,
    ModelReady,
    Problem,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

Version = Annotated[str, Path(examples=["1"])]

# FastAPI takes these as plain dicts of Any.
_NOT_NOW: dict[int | str, dict[str, Any]] = {503: {"model": Problem, "description": "Not now."}}
_MODEL_ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "Not served here."},
    422: {"model": Problem, "description": "The name cannot be read."},
    **_NOT_NOW,
}


@router.get("/health/live", summary="Is the process alive?", responses=_NOT_NOW)
async def server_live(request: Request) -> ServerLive:
    """As /livez."""
    await livez(request)
    return ServerLive(live=True)


@router.get("/health/ready", summary="Is new work welcome?", responses=_NOT_NOW)
async def server_ready(request: Request) -> ServerReady:
    """As /readyz."""
    await readyz(request)
    return ServerReady(ready=True)


@router.get("", summary="Describe the server")
async def server_metadata(request: Request) -> ServerMetadata:
    """Name and version; there are no extensions of the protocol."""
    return ServerMetadata(name="affectsr", version=request.app.version, extensions=[])


@router.get("/models/{name}", summary="Describe a model", responses=_MODEL_ERRORS)
async def model_metadata(request: Request, name: ModelName) -> ModelMetadata:
    """What goes into a model and what comes out."""
    return _describe(served_model(request, name))


@router.get(
    "/models/{name}/versions/{version}", summary="Describe a version", responses=_MODEL_ERRORS
)
async def version_metadata(request: Request, name: ModelName, version: Version) -> ModelMetadata:
    """What goes into this version of a model and what comes out."""
    return _describe(served_model(request, f"{name}@{version}"))


@router.get("/models/{name}/ready", summary="Is a model ready?", responses=_MODEL_ERRORS)
async def model_ready(request: Request, name: ModelName) -> ModelReady:
    """Whether it is served and new work is welcome."""
    model = served_model(request, name)
    await readyz(request)
    return ModelReady(name=model.name, ready=True)


@router.get(
    "/models/{name}/versions/{version}/ready",
    summary="Is a version ready?",
    responses=_MODEL_ERRORS,
)
async def version_ready(request: Request, name: ModelName, version: Version) -> ModelReady:
    """Whether it is served and new work is welcome."""
    return await model_ready(request, f"{name}@{version}")


def _describe(model: ServedModel) -> ModelMetadata:
    return ModelMetadata(
        name=model.name,
        versions=[model.version],
        platform="pytorch",
        inputs=[TensorMetadata(name="image", datatype="UINT8", shape=[-1, -1, 3])],
        outputs=[TensorMetadata(name="image", datatype="UINT8", shape=[-1, -1, 3])],
    )
