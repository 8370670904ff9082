"""The studio: the web page at `/`, the files that it is made of, and the state that it shows.

The files lie in service/studio, are read once and answered from memory. They hold nothing of
anybody's, so they need no API key; what the page asks of /v1/upscale does.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from service.routes.services import Services, services_of
from service.schemas import StudioState

PAGE_PATH = "/"
FILE_PATH = "/studio/{name}"
STATE_PATH = "/studio/state"

_PAGE = "index.html"
# Not by the mimetypes module: what that knows depends on the machine, and a browser runs no module
# script of another type.
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
# Pictures are shown from memory (blob:). Whatever a file name or a reply may hold, nothing of it
# becomes a script, a request to another host, or a form that is sent.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    # Names carry no version, so each load asks whether a file has changed: a 304 if not.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_READING = ["GET", "HEAD"]


@dataclass(frozen=True)
class StudioFile:
    """One file of the page, as it is answered."""

    body: bytes
    media_type: str

    @property
    def etag(self) -> str:
        """By the content, so that it is the same on every replica."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'


def read_studio_files() -> Mapping[str, StudioFile]:
    """All files of the page, by name."""
    folder = resources.files("service").joinpath("studio")
    return {
        file.name: StudioFile(file.read_bytes(), _MEDIA_TYPES[PurePosixPath(file.name).suffix])
        for file in folder.iterdir()
    }


def studio_router() -> APIRouter:
    """The page, its files and its state; in no OpenAPI document, as it is no interface."""
    files = read_studio_files()
    router = APIRouter(include_in_schema=False)

    @router.api_route(PAGE_PATH, methods=_READING)
    async def page(request: Request) -> Response:
        return _answer(request, files[_PAGE])

    @router.get(STATE_PATH)
    async def state(request: Request) -> Response:
        """How busy this process is: probes and metrics are often kept from those outside."""
        body = _describe_state(services_of(request)).model_dump()
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    @router.api_route(FILE_PATH, methods=_READING)
    async def file(request: Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        return _answer(request, files[name])

    return router


def _answer(request: Request, file: StudioFile) -> Response:
    headers = {**_HEADERS, "ETag": file.etag}
    known = request.headers.get("if-none-match", "")
    if file.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(file.body, media_type=file.media_type, headers=headers)


def _describe_state(services: Services) -> StudioState:
    lifecycle, admission = services.lifecycle, services.admission
    return StudioState(
        status="stalled" if lifecycle.is_stalled else lifecycle.state.value,
        inflight=0 if admission is None else admission.num_admitted,
        capacity=services.settings.admission_capacity,
        has_photo_mode=services.photos is not None and services.photos.has_detector,
    )
