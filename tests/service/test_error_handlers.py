from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI, Query

from service.app import create_app
from service.error_handlers import PROBLEMS, describe_problem
from service.errors import (
    CapacityError,
    ImageError,
    NotReadyError,
    OverloadedError,
    QueueFullError,
    RequestError,
    ServiceError,
)
from service.settings import Settings
from tests.fakes import NearestEngine
from tests.service.support import assert_problem, running

pytestmark = pytest.mark.anyio

# Classes that group others and are never raised themselves.
GROUPS = {ServiceError, RequestError, ImageError, CapacityError}


def subclasses(error: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for child in error.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_error_of_ours_is_mapped() -> None:
    assert set(subclasses(ServiceError)) - GROUPS == set(PROBLEMS)


def test_statuses_are_those_of_the_contract() -> None:
    assert {kind.status for kind in PROBLEMS.values()} <= {
        400, 401, 404, 406, 408, 409, 413, 415, 422, 429, 499, 500, 503, 504
    }  # fmt: skip


def test_a_problem_type_means_one_thing() -> None:
    meanings: dict[str, set[tuple[int, str, bool]]] = {}
    for kind in PROBLEMS.values():
        meanings.setdefault(kind.name, set()).add((kind.status, kind.title, kind.is_retryable))
    assert [name for name, found in meanings.items() if len(found) > 1] == []


def test_what_may_succeed_later_is_retryable() -> None:
    retryable = {error for error, kind in PROBLEMS.items() if kind.is_retryable}
    assert {e for e in PROBLEMS if issubclass(e, CapacityError)} <= retryable
    assert not {e for e in PROBLEMS if issubclass(e, ImageError)} & retryable


@pytest.fixture
def app(settings: Settings, engine: NearestEngine) -> FastAPI:
    """The application with routes that fail in ways its own do not."""
    app = create_app(settings, engine=engine)

    @app.get("/crash")
    async def crash() -> None:
        raise ZeroDivisionError("a secret")

    @app.get("/number")
    async def number(value: int = Query()) -> int:
        return value

    @app.get("/full")
    async def full() -> None:
        raise OverloadedError("come back", retry_after_seconds=7)

    @app.get("/queue")
    async def queue() -> None:
        raise QueueFullError("the queue is full")

    return app


async def test_unforeseen_exception_is_a_500_without_its_text(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(app) as client:
        response = await client.get("/crash")
        assert_problem(response, status=500, kind="internal", says="the operator's log says why")
        assert "secret" not in response.text
        assert "ZeroDivisionError: a secret" in caplog.text
        assert (await client.get("/livez")).status_code == 200


async def test_frameworks_validation_errors_are_problems_too(app: FastAPI) -> None:
    async with running(app) as client:
        response = await client.get("/number?value=many")
    assert_problem(response, status=422, kind="invalid-parameter", says="query.value: Input should")


async def test_refusals_for_want_of_room_say_when_to_come_back(app: FastAPI) -> None:
    async with running(app) as client:
        full, queue = await client.get("/full"), await client.get("/queue")
    assert full.headers["retry-after"] == "7"
    assert int(queue.headers["retry-after"]) >= 1


def test_problem_carries_the_errors_own_words() -> None:
    problem = describe_problem(NotReadyError("the service is starting"))
    assert problem.detail == "the service is starting"
    assert problem.status == 503


async def test_every_answer_is_a_problem_that_no_cache_keeps(app: FastAPI) -> None:
    async with running(app) as client:
        responses: list[httpx.Response] = [
            await client.get(path) for path in ("/crash", "/nowhere", "/full", "/number")
        ]
    assert {response.headers["cache-control"] for response in responses} == {"no-store"}
