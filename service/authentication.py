"""Callers without a known API key are answered 401 before a byte of their body is read.

Pure ASGI, as all middleware here. Probes and metrics need no key: what asks for them has none.
"""

from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access import KEY_HEADER, Gate
from service.error_handlers import service_error_response
from service.errors import NotReadyError, ServiceError
from service.routes.services import owner_of_key, remember_owner

KEYLESS_PATHS = frozenset(
    {
        "/livez",
        "/readyz",
        "/startupz",
        "/metrics",
        "/v2/health/live",
        "/v2/health/ready",
        # A browser sends no key when it opens a page; these hold nothing of anybody's.
        "/",
        "/docs",
        "/openapi.json",
    }
)
_KEYLESS_PREFIXES = ("/docs/static/", "/studio/")

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The API key as it is."},
    "header": {"type": "apiKey", "in": "header", "name": KEY_HEADER},
}
_UNAUTHORIZED = {
    "description": "No API key, or one that is not known.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


class ApiKeyMiddleware:
    """Stands behind the request's log line and in front of all else."""

    def __init__(self, app: ASGIApp, *, gate: Callable[[], Gate | None]) -> None:
        """`gate` gives None until the service has read its keys; nobody comes in before."""
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_keyless(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            name = await self._admit(Headers(scope=scope))
        except ServiceError as error:
            await service_error_response(Request(scope), error)(scope, receive, send)
            return
        remember_owner(scope, owner_of_key(name))
        await self._app(scope, receive, send)

    async def _admit(self, headers: Headers) -> str:
        gate = self._gate()
        if gate is None:
            raise NotReadyError("the service is starting; come back when /readyz says so")
        return await gate.admit(headers)


def is_keyless(path: str) -> bool:
    """Whether a path is answered without a key."""
    return path in KEYLESS_PATHS or path.startswith(_KEYLESS_PREFIXES)


def describe_keys(document: dict[str, Any]) -> None:
    """Have an OpenAPI document tell how a key is sent, where one is needed, and the 401."""
    document["components"]["securitySchemes"] = _SCHEMES
    for path, operations in document["paths"].items():
        if is_keyless(path):
            continue
        for operation in operations.values():
            operation["security"] = [{name: []} for name in _SCHEMES]
            operation["responses"]["401"] = _UNAUTHORIZED
