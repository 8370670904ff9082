"""What stands around every request: its id, its line in the log, the last resort for exceptions.

Pure ASGI: a BaseHTTPMiddleware anywhere would hide from the handlers that a caller has gone.
"""

import logging
import random
import re
import time

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.error_handlers import internal_error_response, service_error_response
from service.errors import BodyTooLargeError
from service.lifecycle import Lifecycle
from service.logs import request_context
from service.metrics import Metrics
from service.routes.services import header_in
from service.schemas import Problem

logger = logging.getLogger(__name__)

# What may be taken over into headers and log lines; anything else gets an id of ours.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

# Asked every few seconds by machines, or a dozen at a time by the page: their lines would bury the
# others.
_QUIET_ROUTES = frozenset(
    {
        "/livez",
        "/readyz",
        "/startupz",
        "/metrics",
        "/v2/health/live",
        "/v2/health/ready",
        "/studio/state",
        "/studio/{name}",
    }
)


class RequestMiddleware:
    """Gives each request an id, answers what nobody caught, and writes its one log line."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, lifecycle: Lifecycle) -> None:
        self._app = app
        self._metrics = metrics
        self._lifecycle = lifecycle
        # An id is no secret. The system's own random numbers cost a system call, in which the
        # engine's thread takes the interpreter's lock away from the event loop.
        self._rng = random.Random()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._id_of(scope)
        with request_context(request_id, traceparent=header_in(scope, b"traceparent")):
            await self._answer(scope, receive, send, request_id=request_id)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, *, request_id: str) -> None:
        started_at = time.monotonic()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode("ascii")),
                ]
                if self._lifecycle.is_ending:
                    # So that nobody sends the next request into a connection that is closing.
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            logger.exception("a request failed in a way that nobody foresaw")
            if status == 0:
                await internal_error_response()(scope, receive, send_with_id)
        finally:
            self._account_for(scope, status, time.monotonic() - started_at)

    def _account_for(self, scope: Scope, status: int, seconds: float) -> None:
        # The route's template, never the path: what was typed into a URL has no bound.
        route = getattr(scope.get("route"), "path", "unmatched")
        problem = scope.get("state", {}).get("problem")
        self._metrics.request_answered(route=route, code=status)
        extra: dict[str, object] = {
            "method": scope["method"],
            "route": route,
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
        }
        if isinstance(problem, Problem):
            name = problem.type.rpartition(":")[2]
            self._metrics.request_rejected(name)
            extra["problem"] = name
            # What a caller got wrong quotes it, and concerns nobody else.
            if status >= 500:
                extra["detail"] = problem.detail
        level = logging.DEBUG if route in _QUIET_ROUTES and status < 400 else logging.INFO
        logger.log(level, "request", extra=extra)

    def _id_of(self, scope: Scope) -> str:
        given = header_in(scope, b"x-request-id")
        return given if _REQUEST_ID.fullmatch(given) else f"{self._rng.getrandbits(128):032x}"


class DeclaredLengthMiddleware:
    """Refuses a body by the length that its header declares, before a byte of it is read.

    UploadMiddleware counts the bytes of bodies that declare none.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            declared = header_in(scope, b"content-length")
            if declared.isdecimal() and int(declared) > self._max_body_bytes:
                error = BodyTooLargeError(
                    f"the body has {declared} bytes; at most {self._max_body_bytes} are taken: "
                    "send fewer images at once, or smaller files"
                )
                await service_error_response(Request(scope), error)(scope, receive, send)
                return
        await self._app(scope, receive, send)
