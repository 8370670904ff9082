"""The body and parameters of POST /v1/upscale: what came over the wire -> what is wanted."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from service.errors import (
    ClientGoneError,
    ConflictingParametersError,
    DeadlineExceededError,
    EmptyBodyError,
    InvalidParameterError,
    MalformedBodyError,
    SlowUploadError,
    TooManyImagesError,
    UnknownParameterError,
    UnsupportedMediaTypeError,
)
from service.settings import Settings

_IMAGE_PART = "image"
_PARAMETERS = ("scale", "model")
_TIMEOUT_HEADER = "X-Request-Timeout-Ms"

# A name or a number; anything longer is not meant as one.
_MAX_FIELD_BYTES = 1024
_MAX_FIELDS = 16
# How much of a caller's own text an answer repeats.
_MAX_QUOTED_CHARACTERS = 64


@dataclass(kw_only=True)
class ReceivedRequest:
    """What a request holds, before anything is said about what its images are."""

    images: list[bytes] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def scale(self) -> int | None:
        """Raises InvalidParameterError when it is no number."""
        value = self.parameters.get("scale")
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,4}", value):
            raise InvalidParameterError(f"scale is {_quote(value)}; it must be a number: 4 or 8")
        return int(value)

    @property
    def model(self) -> str | None:
        value = self.parameters.get("model")
        return None if value is None else value[:_MAX_QUOTED_CHARACTERS]

    def set_parameter(self, name: str, value: str) -> None:
        if name not in _PARAMETERS:
            raise UnknownParameterError(
                f"parameter {_quote(name)} is unknown; known: {', '.join(_PARAMETERS)}, and "
                f"files as {_IMAGE_PART}"
            )
        if self.parameters.setdefault(name, value) != value:
            raise ConflictingParametersError(
                f"{name} is given as {_quote(self.parameters[name])} and as {_quote(value)}; "
                "give it once"
            )


def read_deadline(request: Request, settings: Settings, *, now: float) -> float:
    """When the request must be answered, on the clock that `now` is from.

    Raises:
        InvalidParameterError: X-Request-Timeout-Ms is no whole number within its bounds.
    """
    given = request.headers.get(_TIMEOUT_HEADER)
    if given is None:
        return now + settings.request_timeout_ms / 1000
    limit = settings.max_request_timeout_ms
    if not re.fullmatch(r"[0-9]{1,9}", given) or not 1 <= int(given) <= limit:
        raise InvalidParameterError(
            f"{_TIMEOUT_HEADER} is {_quote(given)}; it must be a whole number of 1 to {limit}"
        )
    return now + int(given) / 1000


async def read_request(
    request: Request, settings: Settings, *, deadline: float, clock: Callable[[], float]
) -> ReceivedRequest:
    """Read parameters and images, in memory only and within the time for uploads.

    Raises:
        RequestError: see the classes; each says what to send instead.
        DeadlineExceededError: the request's deadline passed before its body had arrived.
    """
    received = ReceivedRequest()
    for name, value in request.query_params.multi_items():
        received.set_parameter(name, value)
    seconds = min(settings.upload_timeout_ms / 1000, deadline - clock())
    try:
        async with asyncio.timeout(seconds):
            await _read_body(request, received, settings)
    except TimeoutError:
        if clock() >= deadline:
            raise DeadlineExceededError(
                "the deadline passed while the body arrived; send a smaller body or a later "
                f"deadline in {_TIMEOUT_HEADER}"
            ) from None
        raise SlowUploadError(
            f"the body did not arrive within {settings.upload_timeout_ms} ms; send a smaller "
            "file, or use a faster connection"
        ) from None
    except ClientDisconnect:
        raise ClientGoneError("the caller left while its body arrived") from None
    if not received.images:
        raise EmptyBodyError(
            "the request holds no image; send one as the body (Content-Type: image/png) or as "
            f"multipart file parts named {_IMAGE_PART}"
        )
    return received


async def _read_body(request: Request, received: ReceivedRequest, settings: Settings) -> None:
    content_type = parse_options_header(request.headers.get("content-type"))[0].decode("latin-1")
    if content_type == "multipart/form-data":
        await _read_multipart(request, received, settings)
        return
    body = await request.body()
    if not body:
        return
    if not content_type.startswith("image/") and content_type != "application/octet-stream":
        raise UnsupportedMediaTypeError(
            f"Content-Type is {_quote(content_type) if content_type else 'missing'}; send "
            "image/jpeg, image/png, image/webp or multipart/form-data"
        )
    received.images.append(body)


class _InMemoryParser(MultiPartParser):
    """Never writes an upload to disk, and never takes half a form for a whole one.

    Memory is bounded by the body's cap. Starlette's parser leaves out a part that does not end,
    so of several images a cut-off one would go missing without a word.
    """

    spool_max_size = 0  # SpooledTemporaryFile's word for "no limit"

    def __init__(self, request: Request, *, max_files: int) -> None:
        super().__init__(
            request.headers,
            self._until_closing_boundary(request),
            max_files=max_files,
            max_fields=_MAX_FIELDS,
            max_part_size=_MAX_FIELD_BYTES,
        )
        self._has_ended = False

    def on_end(self) -> None:
        self._has_ended = True

    async def _until_closing_boundary(self, request: Request) -> AsyncGenerator[bytes, None]:
        async for chunk in request.stream():
            yield chunk
        if not self._has_ended:
            raise MultiPartException("It ends before its closing boundary.")


async def _read_multipart(request: Request, received: ReceivedRequest, settings: Settings) -> None:
    parser = _InMemoryParser(request, max_files=settings.max_images_per_request)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise TooManyImagesError(
                f"the request holds more than {settings.max_images_per_request} files, which is "
                "all that one request may hold; send several requests"
            ) from None
        raise MalformedBodyError(
            f"the multipart body cannot be read: {error.message} Send one file part named "
            f"{_IMAGE_PART} for each image"
        ) from None
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                await _add_file(received, name, value)
            elif name == _IMAGE_PART:
                raise MalformedBodyError(
                    f"part {_IMAGE_PART} is a text field; send it as a file, with a filename"
                )
            else:
                received.set_parameter(name, value)
    finally:
        await form.close()


async def _add_file(received: ReceivedRequest, name: str, file: UploadFile) -> None:
    if name != _IMAGE_PART:
        raise UnknownParameterError(
            f"file part {_quote(name)} is unknown; name the file parts {_IMAGE_PART}"
        )
    received.images.append(await file.read())


def _quote(text: str) -> str:
    return repr(text if len(text) <= _MAX_QUOTED_CHARACTERS else text[:_MAX_QUOTED_CHARACTERS])
