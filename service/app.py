"""The application: parts put together, built at start-up and closed at shutdown."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from model_store.errors import ModelStoreError
from model_store.store import ModelStore
from service.access import open_gate
from service.api_document import complete_document
from service.authentication import ApiKeyMiddleware
from service.cache import ResponseCache, open_cache
from service.direct_routes import DirectRoutes
from service.early_engine import EarlyEngine
from service.ecm_pipeline import EcmPipeline
from service.engine.base import Engine
from service.engine.loading import load_engine, open_store
from service.engine_room import EngineRoom, open_engine_room
from service.error_handlers import add_error_handlers, describe_problem
from service.errors import StartupError
from service.fingerprint import results_fingerprint
from service.lifecycle import Lifecycle, State
from service.metrics import Metrics
from service.middleware import DeclaredLengthMiddleware, RequestMiddleware
from service.pair_sets import MemoryPairSets, PairSetStore, RedisPairSets, SetLimits
from service.photo import PhotoPipeline
from service.pipeline import UpscaledFile, UpscaledFileForm, UpscalePipeline
from service.redis_link import RedisLink, open_redis_link
from service.routes import ecm, ecm_sets, health, models, open_inference, upscale
from service.routes.services import Services, services_in
from service.routes.studio import studio_router
from service.settings import Settings
from service.uploads import UploadMiddleware

_DESCRIPTION = """Expression-preserving super-resolution of low-resolution face crops.

It restores no identity and proves nothing: what it adds is likely, not known.
"""

_STATIC_PATH = "/docs/static"
# Swagger UI writes its own styles into the page and shows results as data URLs. With this policy
# a browser calls nobody else, whatever the vendored script may try.
_DOCS_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:"
)


def create_app(
    settings: Settings,
    *,
    engine: Engine | None = None,
    early: EarlyEngine | None = None,
    store: ModelStore | None = None,
    clock: Callable[[], float] = time.monotonic,
    on_startup_failure: Callable[[Exception], None] | None = None,
) -> FastAPI:
    """Put the application together; its lifespan loads the models and closes everything.

    Args:
        settings: checked and complete.
        engine: used instead of loading one, and closed at shutdown.
        early: an engine that loads already, instead of `engine` and `store`.
        store: where models come from; by default the settings' folder.
        clock: seconds, monotonic; deadlines and measured times are on it.
        on_startup_failure: told why start-up failed, for a word to the operator; the failure
            itself is raised to the server.
    """
    metrics = Metrics(max_batch_size=settings.max_batch_size)
    lifecycle = Lifecycle(
        on_readiness=lambda is_ready: metrics.readiness_changed(is_ready=is_ready)
    )
    services = Services(
        settings=settings,
        metrics=metrics,
        lifecycle=lifecycle,
        clock=clock,
        describe_problem=describe_problem,
    )

    models_of_engine = early.store if early is not None else store or open_store(settings)
    if early is not None:
        early.on_landmarks = metrics.landmarks_found

    def check_room(path: str) -> None:
        # What is in the cache needs none, and which image it is stands in the body.
        may_be_cached = settings.cache != "off" and path == upscale.PATH
        if services.admission is not None and not may_be_cached:
            services.admission.check_room()

    def open_engine() -> Engine:
        if early is not None:
            return early.result()
        return engine or load_engine(
            models_of_engine, settings, on_landmarks=metrics.landmarks_found
        )

    @asynccontextmanager
    async def open_cache_of(
        room: EngineRoom, link: RedisLink | None
    ) -> AsyncIterator[ResponseCache[UpscaledFile] | None]:
        fingerprint = results_fingerprint(
            settings,
            engine=room.engine,
            served=[*room.models, *([room.classifier] if room.classifier else [])],
            loaded=models_of_engine.loaded,
            release=_own_version(),
        )
        async with open_cache(
            settings, UpscaledFileForm(), link, namespace=fingerprint, observer=metrics
        ) as cache:
            yield cache

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with (
                open_redis_link(
                    settings,
                    clock=clock,
                    on_change=lambda state: metrics.redis_breaker_changed(state.value),
                ) as link,
                open_engine_room(
                    settings,
                    open_engine,
                    metrics=metrics,
                    lifecycle=lifecycle,
                    clock=clock,
                    thread=None if early is None else early.thread,
                ) as room,
                open_cache_of(room, link) as cache,
            ):
                services.gate = open_gate(settings, link, clock=clock)
                services.admission = room.admission
                services.pipeline = UpscalePipeline(room, cache)
                services.photos = PhotoPipeline(room, settings)
                services.ecm = EcmPipeline(
                    room,
                    open_pair_sets(settings, link, clock=clock),
                    min_face_confidence=settings.min_face_confidence,
                )
                lifecycle.advance(State.WARM)
                lifecycle.advance(State.READY)
                yield
                lifecycle.advance(State.DRAINING)
        except (ModelStoreError, StartupError) as error:
            if on_startup_failure is not None:
                on_startup_failure(error)
            raise
        finally:
            lifecycle.advance(State.DEAD)

    app = _Application(
        title="AffectSR",
        version=_own_version(),
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # Without these FastAPI exports traces and metrics to wherever OTEL_* variables point.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    services.attach_to(app)
    add_error_handlers(app)
    # The last one added is the outermost.
    app.add_middleware(DirectRoutes, endpoints={upscale.PATH: upscale.upscale, ecm.PATH: ecm.ecm})
    app.add_middleware(DeclaredLengthMiddleware, max_body_bytes=settings.max_body_bytes)
    app.add_middleware(
        UploadMiddleware,
        max_body_bytes=settings.max_body_bytes,
        max_held_bytes=settings.max_held_body_bytes,
        check_room=check_room,
    )
    if settings.api_keys_file is not None:
        app.add_middleware(ApiKeyMiddleware, gate=lambda: services.gate)
    app.add_middleware(RequestMiddleware, metrics=metrics, lifecycle=lifecycle)
    for part in (upscale, ecm, ecm_sets, models, health, open_inference):
        app.include_router(part.router)
    if settings.studio:
        app.include_router(studio_router())
    _add_docs(app)
    return app


class _Application(FastAPI):
    """FastAPI, but its document tells what is beyond the framework's sight."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            settings = services_in(self).settings
            self.openapi_schema = complete_document(super().openapi(), settings)
        return self.openapi_schema


def open_pair_sets(
    settings: Settings, link: RedisLink | None, *, clock: Callable[[], float]
) -> PairSetStore:
    """Where running sets are kept: in Redis if there is one, else in memory."""
    limits = SetLimits(max_sets=settings.max_ecm_sets, ttl_seconds=settings.ecm_set_ttl_seconds)
    return MemoryPairSets(limits, clock=clock) if link is None else RedisPairSets(link, limits)


def _add_docs(app: FastAPI) -> None:
    """Serve Swagger UI from a package instead of a CDN: reading the docs calls nobody outside."""
    app.mount(_STATIC_PATH, StaticFiles(packages=[("fastapi_offline", "static")]), name="static")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="openapi.json",
            title="AffectSR",
            swagger_js_url=f".{_STATIC_PATH}/swagger-ui-bundle.js",
            swagger_css_url=f".{_STATIC_PATH}/swagger-ui.css",
            swagger_favicon_url=f".{_STATIC_PATH}/favicon.png",
            swagger_ui_parameters={"validatorUrl": None},
        )
        page.headers["Content-Security-Policy"] = _DOCS_POLICY
        return page


def _own_version() -> str:
    try:
        return version("affectsr")
    except PackageNotFoundError:
        return "0+unknown"  # run from a folder without being installed
