"""The way of most requests, straight to its endpoint."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.error_handlers import service_error_response
from service.errors import ServiceError


class DirectRoute:
    """Answers one path and method by its endpoint; all else goes on to the framework.

    For an endpoint that takes the request and nothing else. The framework would look for it among
    all routes, open stacks and solve dependencies for it that it does not have: a sixth of what a
    request cost. The route itself stays with the framework, which describes it and answers other
    methods. Stands behind all other middleware of ours, and answers what the framework's handlers
    would: errors of ours.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        path: str,
        method: str,
        endpoint: Callable[[Request], Awaitable[Response]],
    ) -> None:
        self._app = app
        self._path = path
        self._method = method
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["path"] != self._path
            or scope["method"] != self._method
        ):
            await self._app(scope, receive, send)
            return
        scope["route"] = self  # whose path the request's log line and the metrics tell
        request = Request(scope, receive, send)
        try:
            response = await self._endpoint(request)
        except ServiceError as error:
            response = service_error_response(request, error)
        await response(scope, receive, send)

    @property
    def path(self) -> str:
        return self._path
