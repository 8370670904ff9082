"""What POST /v1/upscale answers: the image itself, JSON, or an archive, and the headers."""

import base64
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from fastapi.responses import JSONResponse, Response

from service.errors import AmbiguousNamesError, NotAcceptableError, ServiceError
from service.images import MediaType
from service.pipeline import UpscaledFile
from service.routes.negotiation import preferred_media_type
from service.schemas import (
    Problem,
    Resampled,
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


def choose_reply_type(accept: str, *, num_images: int, is_archive: bool) -> str:
    """Choose the reply's media type by the Accept header; an archive is answered by one.

    Raises:
        NotAcceptableError: the caller accepts nothing that this reply can be.
    """
    if is_archive:
        offered: tuple[str, ...] = (ZIP, JSON)
    else:
        offered = (*IMAGE_TYPES, JSON) if num_images == 1 else (JSON, ZIP)
    chosen = preferred_media_type(accept, offered)
    if chosen is not None:
        return chosen
    if offered[0] not in (ZIP, JSON):
        raise NotAcceptableError(
            f"Accept is {accept[:200]!r}; the result can be {', '.join(offered)}"
        )
    raise NotAcceptableError(
        f"Accept is {accept[:200]!r} and the request holds "
        f"{'an archive' if is_archive else f'{num_images} images'}; several results can only be "
        f"{' or '.join(offered)}: accept one of these, or send one image a request"
    )


def enclosed_image_type(reply_type: str) -> MediaType:
    """The media type of the image in a reply of this type."""
    return next((known for known in IMAGE_TYPES if known == reply_type), _ENCLOSED_TYPE)


def name_results(names: Sequence[str] | None, *, num_images: int) -> list[str]:
    """Name the files of an archive of results: numbers, or as the images' own but for the suffix.

    Raises:
        AmbiguousNamesError: two images differ in nothing but their suffix, or in case.
    """
    suffix = _SUFFIX[_ENCLOSED_TYPE]
    if names is None:
        return [f"{index:03d}.{suffix}" for index in range(num_images)]
    results = [str(PurePosixPath(name).with_suffix(f".{suffix}")) for name in names]
    places: dict[str, int] = {}
    for number, name in enumerate(results, start=1):
        other = places.setdefault(name.casefold(), number)
        if other != number:
            raise AmbiguousNamesError(
                f"files {other} and {number} of the archive would get results of one name, as they "
                "differ in suffix or case alone; rename one, or accept application/json"
            )
    return results


def reply_with_one(result: UpscaledFile, reply_type: str, *, note: str | None = None) -> Response:
    """One image as itself, or as JSON; its fields stand in the headers either way.

    `note` says why `auto` chose face mode; None where it was asked for.
    """
    fields = result.fields
    # All at once: a header that is set on a response is looked for among the others first.
    headers = {"X-AffectSR-Mode": "face"}
    if note is not None:
        headers["X-AffectSR-Note"] = note
    headers["X-AffectSR-Model"] = fields.model
    headers["X-AffectSR-Scale"] = str(fields.scale)
    headers["X-AffectSR-Landmarks"] = fields.landmarks
    if fields.landmark_confidence is not None:
        headers["X-AffectSR-Landmark-Confidence"] = f"{fields.landmark_confidence:.3f}"
    resampled = fields.resampled
    headers["X-AffectSR-Resampled"] = "no" if resampled is None else _describe(resampled)
    headers["X-AffectSR-Alpha"] = fields.alpha
    headers |= _readout_headers(fields)
    if reply_type == JSON:
        document = _result(result).model_dump(mode="json", by_alias=True)
        return JSONResponse(document, headers=headers)
    return Response(result.data, media_type=reply_type, headers=headers)


def reply_with_several(
    outcomes: Sequence[UpscaledFile | ServiceError],
    *,
    names: Sequence[str] | None,
    files: Sequence[str] | None,
    request_id: str,
    describe_problem: Callable[[ServiceError], Problem],
) -> Response:
    """Several images, each its result or its problem, in the request's order.

    Args:
        outcomes: of each image.
        names: the images' own, where they came in an archive.
        files: what the results are called in an archive, see `name_results`; None makes JSON.
        request_id: of the request.
        describe_problem: makes of an error what a caller is told.
    """
    items = []
    for index, outcome in enumerate(outcomes):
        result: UpscaleResult | UpscaleResultFile | None = None
        if not isinstance(outcome, ServiceError):
            result = (
                _result(outcome)
                if files is None
                else UpscaleResultFile(file=files[index], **dict(outcome.fields))
            )
        items.append(
            UpscaleItem(
                index=index,
                name=None if names is None else names[index],
                result=result,
                problem=describe_problem(outcome) if isinstance(outcome, ServiceError) else None,
            )
        )
    batch = UpscaleBatch(request_id=request_id, items=items)
    if files is None:
        return JSONResponse(batch.model_dump(mode="json", by_alias=True))
    return Response(_archive(batch, outcomes, files), media_type=ZIP)


def _archive(
    batch: UpscaleBatch, outcomes: Sequence[UpscaledFile | ServiceError], files: Sequence[str]
) -> bytes:
    buffer = io.BytesIO()
    # Stored, not deflated: the images are compressed already.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for outcome, name in zip(outcomes, files, strict=True):
            if not isinstance(outcome, ServiceError):
                archive.writestr(name, outcome.data)
        archive.writestr("results.json", batch.model_dump_json(by_alias=True, indent=2))
    return buffer.getvalue()


def _readout_headers(fields: UpscaledFields) -> dict[str, str]:
    expression = fields.expression
    headers: dict[str, str] = {"X-AffectSR-Readout": fields.readout}
    if expression is None:
        return headers
    classifier = expression.classifier
    headers["X-AffectSR-Classifier"] = f"{classifier.name}@{classifier.version}"
    headers["X-AffectSR-Expression-Agrees"] = "yes" if expression.agrees else "no"
    for prefix, reading in (("", expression.result), ("Input-", expression.input)):
        name = f"X-AffectSR-{prefix}Expression"
        headers[name] = reading.expression
        headers[f"{name}-Probability"] = f"{max(reading.probabilities.values()):.3f}"
        headers[f"{name}-Landmarks"] = reading.landmarks
    if expression.recoverable_probability is not None:
        name = "X-AffectSR-Expression-Recoverable"
        headers[name] = "yes" if expression.recoverable else "no"
        headers[f"{name}-Probability"] = f"{expression.recoverable_probability:.3f}"
    return headers


def _result(result: UpscaledFile) -> UpscaleResult:
    encoded = base64.b64encode(result.data).decode("ascii")
    return UpscaleResult(image_base64=encoded, **dict(result.fields))


def _describe(resampled: Resampled) -> str:
    before, after = resampled.from_size, resampled.to_size
    return f"{before.width}x{before.height} -> {after.width}x{after.height}"
