"""Images as files, and an application under test with its lifespan running."""

import gc
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import numpy as np
from fastapi import FastAPI
from PIL import Image

from model_store.image_tensor import RgbImage
from service.app import create_app
from service.engine.base import Engine
from service.errors import ServiceError
from service.settings import Settings

URN = "urn:affectsr:problem:"


def noise(width: int = 32, height: int = 32, *, seed: int = 0) -> RgbImage:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def plain(level: int, width: int = 32, height: int = 32) -> RgbImage:
    return np.full((height, width, 3), level, dtype=np.uint8)


def as_file(image: RgbImage | Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    pillow = image if isinstance(image, Image.Image) else Image.fromarray(image)
    pillow.save(buffer, form, **options)
    return buffer.getvalue()


def as_array(data: bytes) -> RgbImage:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def form_files(*images: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("image", (f"{index}.png", data, "image/png")) for index, data in enumerate(images)]


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test", timeout=20) as client,
    ):
        yield client


@asynccontextmanager
async def client_of(settings: Settings, engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with running(create_app(settings, engine=engine)) as client:
        yield client


@contextmanager
def assert_nothing_is_left_to_the_collector() -> Iterator[None]:
    """Fail if a request's error, and so the request with its image, is left in a cycle."""
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [found for found in gc.garbage if isinstance(found, ServiceError)]
        assert [f"{type(error).__name__}: {error}" for error in left] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def post_image(
    client: httpx.AsyncClient, data: bytes, *, query: str = "", **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(
        f"/v1/upscale{query}", content=data, headers={"Content-Type": "image/png", **named}
    )


def assert_problem(
    response: httpx.Response, *, status: int, kind: str, says: str, retryable: bool = False
) -> None:
    """The response is a complete problem document of this kind, and its text tells `says`."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["type"] == URN + kind
    assert body["status"] == status
    assert says in body["detail"]
    assert body["title"]
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["retryable"] is retryable
