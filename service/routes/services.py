"""What the endpoints work with, and the typed way to get at it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from fastapi import FastAPI, Request
from starlette.types import Scope

from service.access import Gate
from service.admission import Admission
from service.ecm_pipeline import EcmPipeline
from service.errors import NotReadyError, ServiceError
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.photo import PhotoPipeline
from service.pipeline import UpscalePipeline
from service.schemas import Problem
from service.settings import Settings

SHARED_OWNER = "shared"
"""Whose the running sets are where callers are not told apart."""


@dataclass(kw_only=True)
class Services:
    """One application's parts; those that may be None are there from the end of start-up on."""

    settings: Settings
    metrics: Metrics
    lifecycle: Lifecycle
    clock: Callable[[], float]
    describe_problem: Callable[[ServiceError], Problem]
    gate: Gate | None = None
    admission: Admission | None = None
    pipeline: UpscalePipeline | None = None
    photos: PhotoPipeline | None = None
    ecm: EcmPipeline | None = None

    def attach_to(self, app: FastAPI) -> None:
        app.state.services = self


def services_in(app: FastAPI) -> Services:
    """The parts of an application."""
    return cast("Services", app.state.services)


def services_of(request: Request) -> Services:
    """The parts of the application that a request came to."""
    return services_in(request.app)


def ecm_of(services: Services) -> EcmPipeline:
    """The pipeline that compares expressions.

    Raises:
        NotReadyError: the service is starting.
    """
    if services.ecm is None:
        raise NotReadyError("the service is starting; come back when /readyz says so")
    return services.ecm


def header_in(scope: Scope, name: bytes) -> str:
    """The first header of this name (in lower case); empty where there is none.

    Starlette's `Headers` tells the same and takes ten times as long for one header.
    """
    for known, value in scope["headers"]:
        if known == name:
            return str(value, "latin-1")
    return ""


def owner_of_key(name: str) -> str:
    """Whose the running sets of an API key's name are; no name makes it SHARED_OWNER."""
    return f"key:{name}"


def remember_owner(scope: Scope, owner: str) -> None:
    """Have `owner_of` give this owner for the request of the scope."""
    scope.setdefault("state", {})["owner"] = owner


def remember_waited(scope: Scope, seconds: float) -> None:
    """Have `waited_seconds` give this time for the request of the scope."""
    scope.setdefault("state", {})["waited_seconds"] = seconds


def waited_seconds(request: Request) -> float:
    """How long a request had lain in its socket before it was read; 0 where nobody knows."""
    return float(getattr(request.state, "waited_seconds", 0.0))


def owner_of(request: Request) -> str:
    """Whose running sets a request works on."""
    return str(getattr(request.state, "owner", SHARED_OWNER))
