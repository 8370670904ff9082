"""What the endpoints work with, and the typed way to get at it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from fastapi import FastAPI, Request

from service.errors import ServiceError
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.pipeline import UpscalePipeline
from service.schemas import Problem
from service.settings import Settings


@dataclass(kw_only=True)
class Services:
    """One application's parts; `pipeline` is there from the end of start-up on."""

    settings: Settings
    metrics: Metrics
    lifecycle: Lifecycle
    clock: Callable[[], float]
    describe_problem: Callable[[ServiceError], Problem]
    pipeline: UpscalePipeline | None = None

    def attach_to(self, app: FastAPI) -> None:
        app.state.services = self


def services_in(app: FastAPI) -> Services:
    """The parts of an application."""
    return cast("Services", app.state.services)


def services_of(request: Request) -> Services:
    """The parts of the application that a request came to."""
    return services_in(request.app)
