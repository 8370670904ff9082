"""The body and parameters of POST /v1/upscale: what came over the wire -> what is wanted."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from fastapi import Request
from starlette.datastructures import UploadFile

from service.archives import ArchiveLimits, unpack_images
from service.errors import (
    ConflictingParametersError,
    EmptyBodyError,
    InvalidParameterError,
    MalformedBodyError,
    UnknownParameterError,
    UnsupportedMediaTypeError,
)
from service.routes.receiving import (
    MULTIPART,
    content_type_of,
    multipart_form,
    quote,
    within_upload_time,
)
from service.settings import Settings

_IMAGE_PART = "image"
# The second is what browsers on Windows call it.
ARCHIVE_TYPES = ("application/zip", "application/x-zip-compressed")
PHOTO_PARAMETERS = ("factor", "faces", "min_face_px", "strength")
"""Parameters of photo mode alone, besides `box`, which may come several times."""
_PARAMETERS = ("mode", "scale", "model", "readout", *PHOTO_PARAMETERS)
_MODES: tuple[Literal["face", "photo", "auto"], ...] = ("face", "photo", "auto")
_MAX_BOXES = 64
_READOUTS = ("expression", "none")
# A model's reference is shorter.
_MAX_MODEL_CHARACTERS = 64


@dataclass(kw_only=True)
class ReceivedRequest:
    """What a request holds, before anything is said about what its images are.

    Attributes:
        images: files as they came.
        names: theirs in the archive that was sent; None if none was.
        parameters: from the query and the form.
        boxes: the parameters named `box`.
    """

    images: list[bytes] = field(default_factory=list)
    names: list[str] | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    boxes: list[str] = field(default_factory=list)

    @property
    def mode(self) -> Literal["face", "photo", "auto"]:
        """Raises InvalidParameterError for one that there is not."""
        value = self.parameters.get("mode", "face")
        for mode in _MODES:
            if value == mode:
                return mode
        raise InvalidParameterError(f"mode is {quote(value)}; it must be {' or '.join(_MODES)}")

    @property
    def scale(self) -> int | None:
        """Raises InvalidParameterError when it is no number."""
        value = self.parameters.get("scale")
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,4}", value):
            raise InvalidParameterError(f"scale is {quote(value)}; it must be a number: 4 or 8")
        return int(value)

    @property
    def model(self) -> str | None:
        value = self.parameters.get("model")
        return None if value is None else value[:_MAX_MODEL_CHARACTERS]

    @property
    def wants_readout(self) -> bool | None:
        """None where it is left open; raises InvalidParameterError for another value."""
        value = self.parameters.get("readout")
        if value is not None and value not in _READOUTS:
            raise InvalidParameterError(
                f"readout is {quote(value)}; it must be {' or '.join(_READOUTS)}"
            )
        return None if value is None else value == "expression"

    def set_parameter(self, name: str, value: str) -> None:
        if name == "box":
            self._add_box(value)
            return
        if name not in _PARAMETERS:
            raise UnknownParameterError(
                f"parameter {quote(name)} is unknown; known: {', '.join(_PARAMETERS)}, box, and "
                f"files as {_IMAGE_PART}"
            )
        if self.parameters.setdefault(name, value) != value:
            raise ConflictingParametersError(
                f"{name} is given as {quote(self.parameters[name])} and as {quote(value)}; "
                "give it once"
            )

    def _add_box(self, value: str) -> None:
        if len(self.boxes) >= _MAX_BOXES:
            raise InvalidParameterError(
                f"there are more than {_MAX_BOXES} boxes; send fewer, or larger ones"
            )
        self.boxes.append(value)


async def read_request(
    request: Request, settings: Settings, *, deadline: float, clock: Callable[[], float]
) -> ReceivedRequest:
    """Read parameters and images, in memory only and within the time for uploads.

    Raises:
        RequestError: see the classes; each says what to send instead.
        DeadlineExceededError: the request's deadline passed before its body had arrived.
    """
    received = ReceivedRequest()
    if request.scope["query_string"]:
        for name, value in request.query_params.multi_items():
            received.set_parameter(name, value)
    async with within_upload_time(settings, deadline=deadline, clock=clock):
        await _read_body(request, received, settings)
    if not received.images:
        raise EmptyBodyError(
            "the request holds no image; send one as the body (Content-Type: image/png) or as "
            f"multipart file parts named {_IMAGE_PART}"
        )
    return received


async def _read_body(request: Request, received: ReceivedRequest, settings: Settings) -> None:
    content_type = content_type_of(request)
    if content_type == MULTIPART:
        await _read_multipart(request, received, settings)
        return
    body = await request.body()
    if not body:
        return
    if content_type in ARCHIVE_TYPES:
        await _unpack(received, body, settings)
        return
    if not content_type.startswith("image/") and content_type != "application/octet-stream":
        raise UnsupportedMediaTypeError(
            f"Content-Type is {quote(content_type) if content_type else 'missing'}; send "
            "image/jpeg, image/png, image/webp, application/zip or multipart/form-data"
        )
    received.images.append(body)


async def _unpack(received: ReceivedRequest, body: bytes, settings: Settings) -> None:
    limits = ArchiveLimits(
        max_images=settings.max_images_per_request,
        max_image_bytes=settings.max_image_bytes,
        # Unpacked images are held as a body's are, so they may not be more.
        max_total_bytes=settings.max_body_bytes,
    )
    files = await asyncio.to_thread(unpack_images, body, limits)
    received.images = [file.data for file in files]
    received.names = [file.name for file in files]


async def _read_multipart(request: Request, received: ReceivedRequest, settings: Settings) -> None:
    how_to_send = f"Send one file part named {_IMAGE_PART} for each image"
    async with multipart_form(request, settings, how_to_send=how_to_send) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                await _add_file(received, name, value)
            elif name == _IMAGE_PART:
                raise MalformedBodyError(
                    f"part {_IMAGE_PART} is a text field; send it as a file, with a filename"
                )
            else:
                received.set_parameter(name, value)


async def _add_file(received: ReceivedRequest, name: str, file: UploadFile) -> None:
    if name != _IMAGE_PART:
        raise UnknownParameterError(
            f"file part {quote(name)} is unknown; name the file parts {_IMAGE_PART}"
        )
    received.images.append(await file.read())
