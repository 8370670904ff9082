"""What POST /v1/upscale answers: the image itself, JSON, or an archive, and the headers."""

import base64
import io
import zipfile
from collections.abc import Callable, Sequence

from fastapi.responses import JSONResponse, Response

from service.engine.base import Resampling
from service.engine.readout import ExpressionReadout
from service.errors import NotAcceptableError, ServiceError
from service.images import MediaType
from service.pipeline import UpscaledFile
from service.routes.negotiation import preferred_media_type
from service.routes.readings import (
    describe_classifier,
    describe_reading,
    landmark_source,
    top_expression,
)
from service.schemas import (
    Expression,
    Problem,
    Resampled,
    Size,
    UpscaleBatch,
    UpscaledFields,
    UpscaleItem,
    UpscaleResult,
    UpscaleResultFile,
)

JSON = "application/json"
ZIP = "application/zip"
IMAGE_TYPES: tuple[MediaType, ...] = ("image/jpeg", "image/webp", "image/png")

# Inside JSON and archives: lossless, since a program asked.
_ENCLOSED_TYPE: MediaType = "image/png"
_SUFFIX = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


def choose_reply_type(accept: str, *, num_images: int) -> str:
    """Choose the reply's media type by the Accept header.

    Raises:
        NotAcceptableError: the caller accepts nothing that this reply can be.
    """
    offered = (*IMAGE_TYPES, JSON) if num_images == 1 else (JSON, ZIP)
    chosen = preferred_media_type(accept, offered)
    if chosen is not None:
        return chosen
    if num_images == 1:
        raise NotAcceptableError(
            f"Accept is {accept[:200]!r}; the result can be {', '.join(offered)}"
        )
    raise NotAcceptableError(
        f"Accept is {accept[:200]!r} and the request holds {num_images} images; several results "
        f"can only be {' or '.join(offered)}: accept one of these, or send one image a request"
    )


def enclosed_image_type(reply_type: str) -> MediaType:
    """The media type of the image in a reply of this type."""
    return next((known for known in IMAGE_TYPES if known == reply_type), _ENCLOSED_TYPE)


def reply_with_one(result: UpscaledFile, reply_type: str) -> Response:
    """One image as itself, or as JSON; its fields stand in the headers either way."""
    if reply_type == JSON:
        response: Response = JSONResponse(_result(result).model_dump(mode="json", by_alias=True))
    else:
        response = Response(result.data, media_type=reply_type)
    resampling = result.upscaled.resampling
    confidence = result.upscaled.landmark_confidence
    response.headers["X-AffectSR-Model"] = result.model.reference
    response.headers["X-AffectSR-Scale"] = str(result.model.scale)
    response.headers["X-AffectSR-Landmarks"] = result.upscaled.landmark_source
    if confidence is not None:
        response.headers["X-AffectSR-Landmark-Confidence"] = f"{confidence:.3f}"
    response.headers["X-AffectSR-Resampled"] = _describe(resampling) if resampling else "no"
    response.headers["X-AffectSR-Alpha"] = result.alpha
    response.headers.update(_readout_headers(result))
    return response


def reply_with_several(
    outcomes: Sequence[UpscaledFile | ServiceError],
    reply_type: str,
    *,
    request_id: str,
    describe_problem: Callable[[ServiceError], Problem],
) -> Response:
    """Several images, each its result or its problem, in the request's order."""
    if reply_type == JSON:
        items = [
            UpscaleItem(index=index, problem=describe_problem(outcome))
            if isinstance(outcome, ServiceError)
            else UpscaleItem(index=index, result=_result(outcome))
            for index, outcome in enumerate(outcomes)
        ]
        batch = UpscaleBatch(request_id=request_id, items=items)
        return JSONResponse(batch.model_dump(mode="json", by_alias=True))
    return Response(
        _archive(outcomes, request_id=request_id, describe_problem=describe_problem),
        media_type=ZIP,
    )


def _archive(
    outcomes: Sequence[UpscaledFile | ServiceError],
    *,
    request_id: str,
    describe_problem: Callable[[ServiceError], Problem],
) -> bytes:
    buffer = io.BytesIO()
    items = []
    # Stored, not deflated: the images are compressed already.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, ServiceError):
                items.append(UpscaleItem(index=index, problem=describe_problem(outcome)))
                continue
            name = f"{index:03d}.{_SUFFIX[outcome.media_type]}"
            archive.writestr(name, outcome.data)
            fields = UpscaleResultFile(file=name, **dict(_fields(outcome)))
            items.append(UpscaleItem(index=index, result=fields))
        batch = UpscaleBatch(request_id=request_id, items=items)
        archive.writestr("results.json", batch.model_dump_json(by_alias=True, indent=2))
    return buffer.getvalue()


def _readout_headers(result: UpscaledFile) -> dict[str, str]:
    readout = result.readout
    if not isinstance(readout, ExpressionReadout):
        return {"X-AffectSR-Readout": readout}
    headers = {
        "X-AffectSR-Readout": "expression",
        "X-AffectSR-Classifier": readout.classifier.reference,
        "X-AffectSR-Expression-Agrees": "yes" if readout.agrees else "no",
    }
    for prefix, reading in (("", readout.result), ("Input-", readout.input)):
        name = f"X-AffectSR-{prefix}Expression"
        headers[name] = top_expression(reading)
        headers[f"{name}-Probability"] = f"{reading.probabilities.max():.3f}"
        headers[f"{name}-Landmarks"] = landmark_source(reading)
    if readout.kept_probability is not None:
        headers["X-AffectSR-Expression-Recoverable"] = "yes" if readout.is_recoverable else "no"
        headers["X-AffectSR-Expression-Recoverable-Probability"] = f"{readout.kept_probability:.3f}"
    return headers


def _result(result: UpscaledFile) -> UpscaleResult:
    encoded = base64.b64encode(result.data).decode("ascii")
    return UpscaleResult(image_base64=encoded, **dict(_fields(result)))


def _fields(result: UpscaledFile) -> UpscaledFields:
    resampling = result.upscaled.resampling
    return UpscaledFields(
        model=result.model.reference,
        scale=result.model.scale,
        landmarks=result.upscaled.landmark_source,
        landmark_confidence=result.upscaled.landmark_confidence,
        input=Size(width=result.input_width, height=result.input_height),
        output=Size(width=result.width, height=result.height),
        resampled=None if resampling is None else _resampled(resampling),
        alpha=result.alpha,
        media_type=result.media_type,
        readout="expression" if isinstance(result.readout, ExpressionReadout) else result.readout,
        expression=_expression(result.readout)
        if isinstance(result.readout, ExpressionReadout)
        else None,
    )


def _expression(readout: ExpressionReadout) -> Expression:
    return Expression(
        classifier=describe_classifier(readout.classifier),
        result=describe_reading(readout.result),
        input=describe_reading(readout.input),
        agrees=readout.agrees,
        recoverable_probability=readout.kept_probability,
        recoverable=readout.is_recoverable,
    )


def _resampled(resampling: Resampling) -> Resampled:
    return Resampled(
        from_size=Size(width=resampling.from_width, height=resampling.from_height),
        to_size=Size(width=resampling.to_width, height=resampling.to_height),
    )


def _describe(resampling: Resampling) -> str:
    return (
        f"{resampling.from_width}x{resampling.from_height} -> "
        f"{resampling.to_width}x{resampling.to_height}"
    )
