"""Which models are served, and what was measured when they were published."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from model_store.emotion.classifier import EMOTIONS
from service.engine.base import EngineDescription, ServedModel, ServedVersion
from service.errors import NotReadyError
from service.pipeline import UpscalePipeline
from service.routes.services import services_of
from service.schemas import ClassifierInfo, EngineInfo, ModelInfo, ModelList, Problem

router = APIRouter(tags=["models"])

ModelName = Annotated[str, Path(description="Name, or name@version.", examples=["affectsrnet-x4"])]

# FastAPI takes these as plain dicts of Any.

_NOT_NOW: dict[int | str, dict[str, Any]] = {
    503: {"model": Problem, "description": "The service is starting."}
}


@router.get("/v1/models", summary="List the served models", responses=_NOT_NOW)
async def list_models(request: Request) -> ModelList:
    """All models in memory; the first of a scale is the one that `scale` alone means."""
    pipeline = _pipeline(request)
    return ModelList(
        engine=_describe_engine(pipeline.engine),
        models=[_describe(model) for model in pipeline.catalogue.models],
        classifier=pipeline.classifier and _describe_classifier(pipeline.classifier),
    )


@router.get(
    "/v1/models/{name}",
    summary="Show one model",
    responses={
        404: {"model": Problem, "description": "Not served here."},
        422: {"model": Problem, "description": "The name cannot be read."},
        **_NOT_NOW,
    },
)
async def show_model(request: Request, name: ModelName) -> ModelInfo:
    """One model, by `name` or `name@version`."""
    return _describe(served_model(request, name))


def served_model(request: Request, name: str) -> ServedModel:
    """The model that "name" or "name@version" means.

    Raises:
        UnknownModelError: it is not served.
        NotReadyError: the models are not loaded yet.
    """
    return _pipeline(request).catalogue.find(name)


def _pipeline(request: Request) -> UpscalePipeline:
    pipeline = services_of(request).pipeline
    if pipeline is None:
        raise NotReadyError("the service is starting; ask again when /readyz says so")
    return pipeline


def _describe(model: ServedModel) -> ModelInfo:
    return ModelInfo(
        name=model.name,
        version=model.version,
        reference=model.reference,
        scale=model.scale,
        input_side_px=model.lr_size_px,
        output_side_px=model.lr_size_px * model.scale,
        num_parameters=model.num_parameters,
        weights_sha256=model.weights_sha256,
        metrics=dict(model.metrics),
        licence=model.licence,
    )


def _describe_engine(engine: EngineDescription) -> EngineInfo:
    return EngineInfo(
        name=engine.name,
        device=engine.device,
        dtype=engine.dtype,
        passed_over=dict(engine.passed_over),
    )


def _describe_classifier(classifier: ServedVersion) -> ClassifierInfo:
    return ClassifierInfo(
        name=classifier.name,
        version=classifier.version,
        sha256=classifier.weights_sha256,
        num_parameters=classifier.num_parameters,
        expressions=list(EMOTIONS),
        metrics=dict(classifier.metrics),
        licence=classifier.licence,
    )
