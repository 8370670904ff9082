"""The way of most requests, straight to their endpoints."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.error_handlers import service_error_response
from service.errors import ServiceError


class DirectRoutes:
    """Answers some paths, asked by POST, by their endpoints; all else goes on to the framework.

    For endpoints that take the request and nothing else. The framework would look for them among
    all routes, open stacks and solve dependencies for them that they do not have: a sixth of what a
    request cost. The routes themselves stay with the framework, which describes them and answers
    other methods. Stands behind all other middleware of ours, and answers what the framework's
    handlers would: errors of ours.

    Args:
        app: Answers all else.
        endpoints: By their paths.
    """

    def __init__(
        self, app: ASGIApp, *, endpoints: Mapping[str, Callable[[Request], Awaitable[Response]]]
    ) -> None:
        self._app = app
        self._routes = {path: _Route(path, endpoint) for path, endpoint in endpoints.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        route = self._routes.get(scope["path"]) if is_post else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        request = Request(scope, receive, send)
        try:
            response = await route.endpoint(request)
        except ServiceError as error:
            response = service_error_response(request, error)
        await response(scope, receive, send)


@dataclass(frozen=True)
class _Route:
    """What the request's log line and the metrics take the path from, as of the framework's."""

    path: str
    endpoint: Callable[[Request], Awaitable[Response]]
