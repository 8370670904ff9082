"""Bodies on their way in: refused before a byte is read where there is no room, bounded in sum.

A slow or broken upload takes no place of the queue, only the bytes that it has sent so far.
Pure ASGI, as all middleware here.
"""

from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.error_handlers import service_error_response
from service.errors import BodyTooLargeError, OverloadedError

# Whose bytes are held now is gone after about that time, as uploads and waiting have deadlines.
_RETRY_AFTER_SECONDS = 2


class UploadMiddleware:
    """Stands in front of every POST: asks for room first, then counts the bytes that it holds.

    Bodies stay in memory until their request is answered, so the sum over all requests is bounded,
    too.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        max_held_bytes: int,
        check_room: Callable[[str], None],
    ) -> None:
        """`check_room` raises OverloadedError where a path would not be admitted now."""
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_held_bytes = max_held_bytes
        self._check_room = check_room
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            self._check_room(scope["path"])
        except OverloadedError as error:
            await service_error_response(Request(scope), error)(scope, receive, send)
            return
        held_by_this = 0

        async def receive_and_count() -> Message:
            nonlocal held_by_this
            message = await receive()
            num_bytes = len(message.get("body", b""))
            self._check_bytes(num_bytes, held_by_this)
            self._held_bytes += num_bytes
            held_by_this += num_bytes
            return message

        try:
            await self._app(scope, receive_and_count, send)
        finally:
            self._held_bytes -= held_by_this

    def _check_bytes(self, num_bytes: int, held_by_this: int) -> None:
        if held_by_this + num_bytes > self._max_body_bytes:
            raise BodyTooLargeError(
                f"the body has more than the {self._max_body_bytes} bytes that are taken; send "
                "fewer images at once, or smaller files"
            )
        if self._held_bytes + num_bytes > self._max_held_bytes:
            raise OverloadedError(
                f"the bodies of all requests together would exceed {self._max_held_bytes} bytes; "
                "come back after the time in Retry-After",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
