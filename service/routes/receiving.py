"""What every endpoint that takes images does with a request: its deadline, its body, its caller.

Bodies are held in memory only, within the time for uploads; work stops when nobody waits for it.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from service.errors import (
    ClientGoneError,
    DeadlineExceededError,
    InvalidParameterError,
    MalformedBodyError,
    SlowUploadError,
    TooManyImagesError,
)
from service.settings import Settings

MULTIPART = "multipart/form-data"
TIMEOUT_HEADER = "X-Request-Timeout-Ms"
TIMEOUT_PARAMETER: dict[str, Any] = {
    "name": TIMEOUT_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "integer", "minimum": 1},
    "description": "Deadline: past it the answer is 504 and nothing more is computed.",
}
"""What the OpenAPI document says of the deadline's header: JSON, as FastAPI takes it."""

# A name or a number; anything longer is not meant as one.
_MAX_FIELD_BYTES = 1024
_MAX_FIELDS = 16
# How much of a caller's own text an answer repeats.
_MAX_QUOTED_CHARACTERS = 64

T = TypeVar("T")


def read_deadline(request: Request, settings: Settings, *, now: float) -> float:
    """When the request must be answered, on the clock that `now` is from.

    Raises:
        InvalidParameterError: X-Request-Timeout-Ms is no whole number within its bounds.
    """
    given = request.headers.get(TIMEOUT_HEADER)
    if given is None:
        return now + settings.request_timeout_ms / 1000
    limit = settings.max_request_timeout_ms
    if not re.fullmatch(r"[0-9]{1,9}", given) or not 1 <= int(given) <= limit:
        raise InvalidParameterError(
            f"{TIMEOUT_HEADER} is {quote(given)}; it must be a whole number of 1 to {limit}"
        )
    return now + int(given) / 1000


def content_type_of(request: Request) -> str:
    """The media type of the body, without parameters; empty where the request names none."""
    return parse_options_header(request.headers.get("content-type"))[0].decode("latin-1")


@asynccontextmanager
async def within_upload_time(
    settings: Settings, *, deadline: float, clock: Callable[[], float]
) -> AsyncIterator[None]:
    """Bound the block that reads a body.

    Raises:
        SlowUploadError: the time for uploads passed.
        DeadlineExceededError: the request's deadline passed.
        ClientGoneError: the caller left.
    """
    too_late = DeadlineExceededError(
        "the deadline passed while the body arrived; send a smaller body or a later deadline in "
        f"{TIMEOUT_HEADER}"
    )
    seconds_left = deadline - clock()
    if seconds_left <= 0:
        raise too_late
    try:
        async with asyncio.timeout(min(settings.upload_timeout_ms / 1000, seconds_left)):
            yield
    except TimeoutError:
        if clock() >= deadline:
            raise too_late from None
        raise SlowUploadError(
            f"the body did not arrive within {settings.upload_timeout_ms} ms; send a smaller "
            "file, or use a faster connection"
        ) from None
    except ClientDisconnect:
        raise ClientGoneError("the caller left while its body arrived") from None


@asynccontextmanager
async def multipart_form(
    request: Request, settings: Settings, *, how_to_send: str
) -> AsyncIterator[FormData]:
    """Read a whole multipart form and close its files afterwards.

    `how_to_send` ends the message about a form that cannot be read.

    Raises:
        TooManyImagesError: it holds more files than a request may.
        MalformedBodyError: it cannot be taken apart, or ends early.
    """
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
            f"the multipart body cannot be read: {error.message} {how_to_send}"
        ) from None
    try:
        yield form
    finally:
        await form.close()


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


async def unless_caller_leaves(request: Request, work: Coroutine[None, None, T]) -> T:
    """Wait for the work, but cancel it as soon as nobody waits for its answer.

    The work is done by the task that calls this: one of its own would cost a request as much as
    its way through all the middleware.

    Raises:
        ClientGoneError: the caller closed the connection.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("there is no task that could be cancelled")
    num_cancellations = task.cancelling()
    has_left = False

    def stop(leaving: asyncio.Task[None]) -> None:
        nonlocal has_left
        if not leaving.cancelled():
            leaving.exception()  # looked at: whatever it is, nothing more comes from this caller
            has_left = True
            task.cancel()

    leaving = asyncio.create_task(_wait_for_disconnect(request), name="caller")
    leaving.add_done_callback(stop)
    try:
        return await work
    except asyncio.CancelledError:
        if has_left and task.uncancel() <= num_cancellations:
            raise ClientGoneError("the caller left before its result was ready") from None
        raise
    finally:
        leaving.remove_done_callback(stop)
        leaving.cancel()


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def quote(text: str) -> str:
    """A caller's text as a message repeats it: its beginning, in quotation marks."""
    return repr(text[:_MAX_QUOTED_CHARACTERS])
