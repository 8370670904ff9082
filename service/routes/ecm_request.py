"""The body and parameters of POST /v1/ecm: pairs of images, and the set that they go to."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fastapi import Request
from starlette.datastructures import UploadFile

from service.errors import (
    ConflictingParametersError,
    EmptyBodyError,
    InvalidParameterError,
    MalformedBodyError,
    UnknownParameterError,
    UnpairedImagesError,
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

ORIGINAL_PART = "original"
SUPER_RESOLVED_PART = "super_resolved"
SET_PARAMETER = "set"
IDEMPOTENCY_HEADER = "Idempotency-Key"

SET_NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
IDEMPOTENCY_KEY_PATTERN = "[!-~]{1,128}"

_HOW_TO_SEND = (
    f"Send file parts named {ORIGINAL_PART} and {SUPER_RESOLVED_PART}, one of each for every pair, "
    "in the same order"
)


@dataclass(kw_only=True)
class ReceivedPairs:
    """What a request holds, before anything is said about what its images are.

    Attributes:
        originals: at least one file.
        super_resolved: as many.
        set_name: None where the pairs go to no set.
        idempotency_key: None where the caller gave none.
    """

    originals: list[bytes] = field(default_factory=list)
    super_resolved: list[bytes] = field(default_factory=list)
    set_name: str | None
    idempotency_key: str | None

    def fingerprint(self) -> str:
        """Digest of all files and their order."""
        digest = hashlib.sha256()
        for files in (self.originals, self.super_resolved):
            for data in files:
                digest.update(hashlib.sha256(data).digest())
        return digest.hexdigest()[:32]


async def read_pairs(
    request: Request, settings: Settings, *, deadline: float, clock: Callable[[], float]
) -> ReceivedPairs:
    """Read parameters and images, in memory only and within the time for uploads.

    Raises:
        RequestError: see the classes; each says what to send instead.
        DeadlineExceededError: the request's deadline passed before its body had arrived.
    """
    received = ReceivedPairs(
        set_name=_read_set_name(request), idempotency_key=_read_idempotency_key(request)
    )
    async with within_upload_time(settings, deadline=deadline, clock=clock):
        await _read_body(request, received, settings)
    _require_pairs(received.originals, received.super_resolved)
    return received


def require_set_name(name: str) -> str:
    """Return the name.

    Raises:
        InvalidParameterError: no set can have it.
    """
    if not re.fullmatch(SET_NAME_PATTERN, name):
        raise InvalidParameterError(
            f"the set's name is {quote(name)}; it must match {SET_NAME_PATTERN}: at most 64 "
            "letters, digits, dots, dashes and underscores"
        )
    return name


def _read_set_name(request: Request) -> str | None:
    for name in request.query_params:
        if name != SET_PARAMETER:
            raise UnknownParameterError(
                f"parameter {quote(name)} is unknown; known: {SET_PARAMETER}, and files as "
                f"{ORIGINAL_PART} and {SUPER_RESOLVED_PART}"
            )
    values = set(request.query_params.getlist(SET_PARAMETER))
    if len(values) > 1:
        shown = " and as ".join(quote(value) for value in sorted(values))
        raise ConflictingParametersError(f"{SET_PARAMETER} is given as {shown}; give it once")
    return require_set_name(values.pop()) if values else None


def _read_idempotency_key(request: Request) -> str | None:
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if key is not None and not re.fullmatch(IDEMPOTENCY_KEY_PATTERN, key):
        raise InvalidParameterError(
            f"{IDEMPOTENCY_HEADER} is {quote(key)}; it must be 1 to 128 visible ASCII characters, "
            "a UUID for instance"
        )
    return key


async def _read_body(request: Request, received: ReceivedPairs, settings: Settings) -> None:
    content_type = content_type_of(request)
    if content_type != MULTIPART:
        raise UnsupportedMediaTypeError(
            f"Content-Type is {quote(content_type) if content_type else 'missing'}; send "
            f"{MULTIPART} with file parts named {ORIGINAL_PART} and {SUPER_RESOLVED_PART}"
        )
    async with multipart_form(request, settings, how_to_send=_HOW_TO_SEND) as form:
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                raise _refused_field(name)
            _side(received, name).append(await value.read())


def _refused_field(name: str) -> MalformedBodyError | UnknownParameterError:
    if name in (ORIGINAL_PART, SUPER_RESOLVED_PART):
        return MalformedBodyError(
            f"part {name} is a text field; send it as a file, with a filename"
        )
    return UnknownParameterError(
        f"form field {quote(name)} is unknown; the form takes files alone, and "
        f"{SET_PARAMETER} goes into the query"
    )


def _side(received: ReceivedPairs, name: str) -> list[bytes]:
    if name == ORIGINAL_PART:
        return received.originals
    if name == SUPER_RESOLVED_PART:
        return received.super_resolved
    raise UnknownParameterError(
        f"file part {quote(name)} is unknown; name the file parts {ORIGINAL_PART} and "
        f"{SUPER_RESOLVED_PART}"
    )


def _require_pairs(originals: Sequence[bytes], super_resolved: Sequence[bytes]) -> None:
    if not originals and not super_resolved:
        raise EmptyBodyError(f"the request holds no image. {_HOW_TO_SEND}")
    if len(originals) != len(super_resolved):
        raise UnpairedImagesError(
            f"the request holds {len(originals)} files named {ORIGINAL_PART} and "
            f"{len(super_resolved)} named {SUPER_RESOLVED_PART}. {_HOW_TO_SEND}"
        )
