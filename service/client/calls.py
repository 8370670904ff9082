"""What each call sends, and what it makes of the reply; who sends it is no concern of this file."""

import base64
import email.utils
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Generic, Literal, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from service.client.errors import ClientError, UnexpectedReplyError, UnreachableError, error_for
from service.schemas import (
    EcmReply,
    EcmSet,
    EcmSetList,
    ModelInfo,
    ModelList,
    PhotoFields,
    PhotoResult,
    Problem,
    UpscaledFields,
    UpscaleResult,
)

ImageInput = bytes | str | PathLike[str]
"""An image file: its bytes, or its path."""

T = TypeVar("T")
SchemaT = TypeVar("SchemaT", bound=BaseModel)

_JSON = {"Accept": "application/json"}
_PROBLEM = "application/problem+json"
# Proxies and load balancers answer so without a problem document, while a replica is away.
_RETRYABLE_STATUSES = frozenset({408, 429, 502, 503, 504})
# The service's own bound of X-Request-Timeout-Ms, by default.
_MAX_SERVER_TIMEOUT_MS = 120_000


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T]):
    """One request, and how its reply is read; sending it twice does no more than once.

    Attributes:
        method: of HTTP.
        path: below the service's address.
        read_reply: makes the result of a success; raises ClientError.
        params: of the query.
        headers: besides those of every call.
        content: the body, or None.
        files: parts of a form, name and bytes, or none.
        has_deadline: the service is told how long the caller will wait.
    """

    method: str
    path: str
    read_reply: Callable[[httpx.Response], T]
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    files: Sequence[tuple[str, bytes]] = ()
    has_deadline: bool = False

    def request_headers(self, seconds_left: float) -> dict[str, str]:
        """The headers of an attempt that is given so much time."""
        headers = dict(self.headers)
        if self.has_deadline:
            timeout_ms = min(max(int(seconds_left * 1000), 1), _MAX_SERVER_TIMEOUT_MS)
            headers["X-Request-Timeout-Ms"] = str(timeout_ms)
        return headers

    def form(self) -> list[tuple[str, tuple[str, bytes, str]]] | None:
        """The parts as httpx takes them; no file name of the caller's is sent."""
        if not self.files:
            return None
        return [(name, ("image", data, "application/octet-stream")) for name, data in self.files]


@dataclass(frozen=True, eq=False)
class UpscaledImage:
    """An upscaled image and how it was made.

    Attributes:
        image: a PNG file.
        fields: model, scale, landmarks, sizes, expressions.
    """

    image: bytes
    fields: UpscaledFields

    def save(self, path: str | PathLike[str]) -> None:
        """Write the PNG file; raises OSError."""
        Path(path).write_bytes(self.image)


@dataclass(frozen=True, eq=False)
class UpscaledPhoto:
    """A photo, enlarged, with its faces upscaled.

    Attributes:
        image: a PNG file.
        fields: sizes, notes, and what became of each face.
    """

    image: bytes
    fields: PhotoFields

    def save(self, path: str | PathLike[str]) -> None:
        """Write the PNG file; raises OSError."""
        Path(path).write_bytes(self.image)


@dataclass(frozen=True, kw_only=True)
class PhotoOptions:
    """What is to be done with a photo; None leaves a choice to the service.

    Attributes:
        factor: 1, 2 or 4: sides of the result over those of the photo.
        faces: which of those found.
        boxes: x, y, width, height in px of the photo; only faces whose middle lies in one.
        min_face_px: side of the smallest crop of a face that is upscaled.
        strength: 1 is the upscaled face, 0 the enlarged photo.
        scale: 4 or 8 for every face.
        model: "name" or "name@version" for every face.
        readout: whether expressions are read.
    """

    factor: int = 2
    faces: Literal["all", "largest"] = "all"
    boxes: Sequence[tuple[float, float, float, float]] = ()
    min_face_px: float | None = None
    strength: float = 1.0
    scale: int | None = None
    model: str | None = None
    readout: bool | None = None


def read_image(image: ImageInput) -> bytes:
    """The bytes of an image file; raises OSError."""
    return image if isinstance(image, bytes) else Path(image).read_bytes()


def upscale_call(
    image: bytes, *, scale: int | None, model: str | None, readout: bool | None
) -> Call[UpscaledImage]:
    """POST /v1/upscale with one face crop."""
    return Call(
        method="POST",
        path="/v1/upscale",
        params=_network_params(scale=scale, model=model, readout=readout),
        headers={**_JSON, "Content-Type": "application/octet-stream"},
        content=image,
        has_deadline=True,
        read_reply=_read_upscaled,
    )


def photo_call(image: bytes, options: PhotoOptions) -> Call[UpscaledPhoto]:
    """POST /v1/upscale with a whole photo."""
    params: dict[str, str | Sequence[str]] = {
        "mode": "photo",
        "factor": str(options.factor),
        "faces": options.faces,
        "strength": f"{options.strength:g}",
        **_network_params(scale=options.scale, model=options.model, readout=options.readout),
    }
    if options.boxes:
        params["box"] = [",".join(f"{side:g}" for side in box) for box in options.boxes]
    if options.min_face_px is not None:
        params["min_face_px"] = f"{options.min_face_px:g}"
    return Call(
        method="POST",
        path="/v1/upscale",
        params=params,
        headers={**_JSON, "Content-Type": "application/octet-stream"},
        content=image,
        has_deadline=True,
        read_reply=_read_photo,
    )


def ecm_call(
    pairs: Sequence[tuple[bytes, bytes]], *, set_name: str | None, idempotency_key: str | None
) -> Call[EcmReply]:
    """POST /v1/ecm with pairs of original and super-resolved images."""
    files = [
        part
        for original, super_resolved in pairs
        for part in (("original", original), ("super_resolved", super_resolved))
    ]
    return Call(
        method="POST",
        path="/v1/ecm",
        params={} if set_name is None else {"set": set_name},
        headers=_JSON if idempotency_key is None else {**_JSON, "Idempotency-Key": idempotency_key},
        files=files,
        has_deadline=True,
        read_reply=_reader_of(EcmReply),
    )


def ecm_sets_call() -> Call[EcmSetList]:
    """GET /v1/ecm/sets."""
    return Call(method="GET", path="/v1/ecm/sets", read_reply=_reader_of(EcmSetList))


def ecm_set_call(name: str) -> Call[EcmSet]:
    """GET /v1/ecm/sets/NAME."""
    return Call(method="GET", path=_path("/v1/ecm/sets", name), read_reply=_reader_of(EcmSet))


def delete_ecm_set_call(name: str) -> Call[None]:
    """DELETE /v1/ecm/sets/NAME."""
    return Call(method="DELETE", path=_path("/v1/ecm/sets", name), read_reply=lambda reply: None)


def models_call() -> Call[ModelList]:
    """GET /v1/models."""
    return Call(method="GET", path="/v1/models", read_reply=_reader_of(ModelList))


def model_call(name: str) -> Call[ModelInfo]:
    """GET /v1/models/NAME."""
    return Call(method="GET", path=_path("/v1/models", name), read_reply=_reader_of(ModelInfo))


def finish(call: Call[T], reply: httpx.Response) -> T:
    """The result of a reply, read whole.

    Raises:
        ProblemError: the service refused or failed.
        UnreachableError: a proxy says that it cannot reach the service now.
        UnexpectedReplyError: neither a result nor a problem.
    """
    if reply.is_success:
        return call.read_reply(reply)
    raise _failure(reply)


def wrap_transport_error(error: httpx.HTTPError) -> ClientError:
    """What a call fails by where httpx got no reply."""
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, httpx.UnsupportedProtocol | httpx.TooManyRedirects):
        return UnexpectedReplyError(f"the request cannot be sent: {told}")
    return UnreachableError(f"the service cannot be reached: {told}")


def is_ready_reply(reply: httpx.Response) -> bool:
    """Whether a reply of /readyz says that new work is welcome."""
    return reply.status_code == 200


def _failure(reply: httpx.Response) -> ClientError:
    retry_after = _retry_after_seconds(reply)
    if reply.headers.get("content-type", "").partition(";")[0].strip() == _PROBLEM:
        problem = _parse(Problem, reply)
        return error_for(problem, retry_after_seconds=retry_after)
    told = f"{reply.status_code} {reply.reason_phrase} without a problem document"
    if reply.status_code in _RETRYABLE_STATUSES:
        failure: ClientError = UnreachableError(f"the service cannot be reached: {told}")
        failure.retry_after_seconds = retry_after
        return failure
    return UnexpectedReplyError(f"{told}; is this AffectSR's address?")


def _retry_after_seconds(reply: httpx.Response) -> float | None:
    """RFC 9110, 10.2.3: seconds, or a date; anything else is as if it were not there."""
    value = reply.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(at - time.time(), 0.0)


def _read_upscaled(reply: httpx.Response) -> UpscaledImage:
    result = _parse(UpscaleResult, reply)
    return UpscaledImage(_decode(result.image_base64), UpscaledFields.model_validate(dict(result)))


def _read_photo(reply: httpx.Response) -> UpscaledPhoto:
    result = _parse(PhotoResult, reply)
    return UpscaledPhoto(_decode(result.image_base64), PhotoFields.model_validate(dict(result)))


def _network_params(
    *, scale: int | None, model: str | None, readout: bool | None
) -> dict[str, str]:
    given = {
        "scale": None if scale is None else str(scale),
        "model": model,
        "readout": None if readout is None else ("expression" if readout else "none"),
    }
    return {name: value for name, value in given.items() if value is not None}


def _decode(image_base64: str) -> bytes:
    try:
        return base64.b64decode(image_base64, validate=True)
    except ValueError as error:
        raise UnexpectedReplyError(f"the reply's image is no base64: {error}") from error


def _reader_of(schema: type[SchemaT]) -> Callable[[httpx.Response], SchemaT]:
    return lambda reply: _parse(schema, reply)


def _parse(schema: type[SchemaT], reply: httpx.Response) -> SchemaT:
    try:
        return schema.model_validate_json(reply.content)
    except ValidationError as error:
        raise UnexpectedReplyError(
            f"the reply ({reply.status_code}) is no {schema.__name__}: "
            f"{error.error_count()} fields differ; do client and service have one version?"
        ) from error


def _path(folder: str, name: str) -> str:
    return f"{folder}/{quote(name, safe='')}"
