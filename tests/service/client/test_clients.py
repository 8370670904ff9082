"""Both clients against a service that answers as it is told to: what is sent, retried, raised."""

import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from service.client import (
    AsyncClient,
    CallTimeoutError,
    Client,
    ClientError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PhotoOptions,
    ProblemError,
    RateLimitedError,
    RetryPolicy,
    ServerFailureError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedReplyError,
    UnreachableError,
    UpscaledImage,
)
from service.error_handlers import PROBLEMS
from tests.fakes import ManualClock

pytestmark = pytest.mark.anyio

RESULT = {
    "model": "affectsrnet-x4@1",
    "scale": 4,
    "landmarks": "landmarker",
    "landmark_confidence": 0.9,
    "input": {"width": 32, "height": 32},
    "output": {"width": 128, "height": 128},
    "resampled": {"from": {"width": 40, "height": 40}, "to": {"width": 32, "height": 32}},
    "alpha": "none",
    "media_type": "image/png",
    "readout": "none",
    "expression": None,
    "image_base64": base64.b64encode(b"a PNG file").decode(),
}
ECM = {
    "request_id": "1",
    "classifier": {"name": "c", "version": "1", "sha256": "0"},
    "ecm": {"value": None, "l_h": 0, "l_conf": 0, "n": 1, "degenerate": True},
    "interval": None,
    "pairs": [],
    "set": None,
}


class Service:
    """Answers by a list of replies, the last one again and again; remembers requests and pauses.

    Attributes:
        requests: as they came, read whole.
        pauses: seconds that the client waited; the clock goes on by them.
    """

    def __init__(self, *replies: httpx.Response | Exception) -> None:
        self._replies = iter(replies)
        self._last = replies[-1]
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []
        self.clock = ManualClock()

    def client(self, **options: object) -> Client:
        return Client(
            "http://test",
            transport=httpx.MockTransport(self._answer),
            clock=self.clock,
            sleep=self._sleep,
            **options,  # type: ignore[arg-type]
        )

    def async_client(self, **options: object) -> AsyncClient:
        async def sleep(seconds: float) -> None:
            self._sleep(seconds)

        return AsyncClient(
            "http://test",
            transport=httpx.MockTransport(self._answer),
            clock=self.clock,
            sleep=sleep,
            **options,  # type: ignore[arg-type]
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = next(self._replies, self._last)
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)


def ok(body: object = RESULT) -> httpx.Response:
    return httpx.Response(200, json=body)


def problem(
    status: int, kind: str = "overloaded", *, retryable: bool = True, **headers: str
) -> httpx.Response:
    body = {
        "type": f"urn:affectsr:problem:{kind}",
        "title": "It did not work",
        "status": status,
        "detail": "value, limit, remedy",
        "request_id": "7",
        "retryable": retryable,
    }
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    media_type = {"Content-Type": "application/problem+json; charset=utf-8"}
    return httpx.Response(status, json=body, headers={**media_type, **named})


# --- what is sent and what comes of it ---


def test_result_has_the_image_and_its_fields(tmp_path: Path) -> None:
    service = Service(ok())
    with service.client(api_key="secret") as client:
        result = client.upscale(b"a JPEG file", scale=4, model="affectsrnet-x4", readout=False)
    assert result.image == b"a PNG file"
    assert result.fields.output.width == 128
    assert result.fields.resampled is not None
    assert result.fields.resampled.from_size.width == 40
    result.save(tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes() == b"a PNG file"

    (request,) = service.requests
    assert dict(request.url.params) == {"scale": "4", "model": "affectsrnet-x4", "readout": "none"}
    assert request.content == b"a JPEG file"
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["x-request-timeout-ms"] == "60000"
    assert request.headers["user-agent"].startswith("affectsr-client/")


def test_image_is_read_from_its_path_and_its_name_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "anna.png"
    path.write_bytes(b"a face")
    service = Service(ok(ECM))
    with service.client() as client:
        client.ecm([(path, str(path))])
    (request,) = service.requests
    assert request.content.count(b"a face") == 2
    assert b"anna" not in request.content
    with service.client() as client, pytest.raises(FileNotFoundError):
        client.upscale(tmp_path / "missing.png")


def test_names_in_paths_are_escaped() -> None:
    service = Service(httpx.Response(204))
    with service.client() as client:
        client.delete_ecm_set("../models")
    assert service.requests[0].url.raw_path == b"/v1/ecm/sets/..%2Fmodels"


async def test_photo_is_asked_for_as_its_options_say() -> None:
    photo = {
        "request_id": "1",
        "mode": "photo",
        "factor": 4,
        "background": "lanczos",
        "strength": 0.5,
        "input": {"width": 64, "height": 48},
        "output": {"width": 256, "height": 192},
        "alpha": "none",
        "media_type": "image/png",
        "faces_found": 0,
        "notes": [],
        "faces": [],
        "image_base64": base64.b64encode(b"a PNG file").decode(),
    }
    service = Service(ok(photo))
    options = PhotoOptions(factor=4, strength=0.5, boxes=[(0, 0, 8.5, 9), (1, 2, 3, 4)], scale=8)
    with service.client() as client:
        result = client.photo(b"a photo", options)
    async with service.async_client() as async_client:
        assert (await async_client.photo(b"a photo", options)).image == result.image
    assert (result.image, result.fields.output.width) == (b"a PNG file", 256)
    for request in service.requests:
        assert request.url.params.multi_items() == [
            ("mode", "photo"),
            ("factor", "4"),
            ("faces", "all"),
            ("strength", "0.5"),
            ("scale", "8"),
            ("box", "0,0,8.5,9"),
            ("box", "1,2,3,4"),
        ]


@pytest.mark.parametrize(
    ("reply", "is_ready"),
    [(ok({}), True), (problem(503), False), (httpx.ConnectError("refused"), False)],
)
async def test_readiness_is_asked_once(reply: httpx.Response | Exception, is_ready: bool) -> None:
    service = Service(reply)
    with service.client() as client:
        assert client.ready() is is_ready
    async with service.async_client() as async_client:
        assert await async_client.ready() is is_ready
    assert len(service.requests) == 2


# --- retries ---


async def test_both_clients_come_back_when_the_service_says() -> None:
    for is_async in (False, True):
        service = Service(problem(429, Retry_After="3"), httpx.ReadError("broken"), ok())
        if is_async:
            async with service.async_client() as async_client:
                await async_client.upscale(b"x")
        else:
            with service.client() as client:
                client.upscale(b"x")
        first, second = service.pauses
        assert 3 <= first <= 3.75
        assert 0.5 <= second <= 1
        left = [int(request.headers["x-request-timeout-ms"]) for request in service.requests]
        assert left[0] == 60000
        assert left[2] == pytest.approx(60000 - 1000 * (first + second), abs=2)


def test_date_in_retry_after_is_understood_and_nonsense_is_not_there() -> None:
    at = datetime.now(UTC) + timedelta(seconds=20)
    service = Service(
        problem(503, Retry_After=format_datetime(at, usegmt=True)),
        problem(503, Retry_After="soon"),
        ok(),
    )
    with service.client() as client:
        client.upscale(b"x")
    assert 17 <= service.pauses[0] <= 25
    assert service.pauses[1] <= 1


def test_proxy_without_a_problem_document_is_retried_too() -> None:
    service = Service(httpx.Response(502, text="Bad Gateway"), ok())
    with service.client() as client:
        client.upscale(b"x")
    assert len(service.requests) == 2


def test_attempts_end() -> None:
    service = Service(problem(503))
    retry = RetryPolicy(max_attempts=3)
    with service.client(retry=retry) as client, pytest.raises(UnavailableError):
        client.upscale(b"x")
    assert len(service.requests) == 3


def test_calls_time_ends_the_attempts_and_says_why_they_failed() -> None:
    service = Service(problem(429, Retry_After="4"))
    with (
        service.client(timeout_seconds=10) as client,
        pytest.raises(CallTimeoutError, match="within 10 s, after 3 failed") as raised,
    ):
        client.upscale(b"x")
    assert isinstance(raised.value.__cause__, RateLimitedError)
    assert sum(service.pauses) < 10


def test_addition_to_a_set_has_one_key_for_all_its_attempts() -> None:
    service = Service(httpx.ReadError("broken"), ok(ECM))
    with service.client() as client:
        client.ecm([(b"a", b"b")], add_to_set="nightly")
        client.ecm([(b"a", b"b")], add_to_set="nightly")
        client.ecm([(b"a", b"b")], add_to_set="nightly", idempotency_key="mine")
        client.ecm([(b"a", b"b")])
    keys = [request.headers.get("idempotency-key") for request in service.requests]
    assert keys[0] == keys[1] != keys[2]
    assert keys[3:] == ["mine", None]
    assert service.requests[0].url.params["set"] == "nightly"


# --- errors ---


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidRequestError),
        (401, UnauthorizedError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, InvalidRequestError),
        (422, InvalidRequestError),
        (429, RateLimitedError),
        (500, ServerFailureError),
        (503, UnavailableError),
        (504, UnavailableError),
    ],
)
def test_problem_is_raised_as_what_it_is(status: int, error: type[ProblemError]) -> None:
    service = Service(problem(status, "some-kind", retryable=False))
    with service.client() as client, pytest.raises(error) as raised:
        client.upscale(b"x")
    assert type(raised.value) is error
    assert raised.value.kind == "some-kind"
    assert raised.value.problem.request_id == "7"
    assert str(raised.value) == "It did not work: value, limit, remedy"
    assert len(service.requests) == 1


def test_every_status_of_the_service_has_a_class() -> None:
    for kind in PROBLEMS.values():
        service = Service(problem(kind.status, kind.name, retryable=False))
        with service.client() as client, pytest.raises(ProblemError):
            client.models()


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (httpx.Response(200, text="<html>"), UnexpectedReplyError, "no UpscaleResult"),
        (httpx.Response(404, text="nothing"), UnexpectedReplyError, "is this AffectSR's address?"),
        (httpx.ConnectError("refused"), UnreachableError, "ConnectError: refused"),
        (ok({**RESULT, "image_base64": "?"}), UnexpectedReplyError, "no base64"),
    ],
)
def test_reply_that_is_none_of_ours_is_told(
    reply: httpx.Response | Exception, error: type[ClientError], says: str
) -> None:
    service = Service(reply)
    with (
        service.client(retry=RetryPolicy(max_attempts=1)) as client,
        pytest.raises(error, match=re.escape(says)),
    ):
        client.upscale(b"x")


# --- many ---


def counted(images: list[bytes], taken: list[int]) -> Iterator[bytes]:
    for number, image in enumerate(images):
        taken.append(number)
        yield image


def answer_by_body(request: httpx.Request) -> httpx.Response:
    if request.content == b"broken":
        return problem(400, "corrupt-image", retryable=False)
    body = {**RESULT, "image_base64": base64.b64encode(request.content).decode()}
    return httpx.Response(200, json=body)


IMAGES = [b"0", b"1", b"broken", b"3", b"4"]


def check_many(results: list[UpscaledImage | ClientError | OSError]) -> None:
    assert len(results) == len(IMAGES)
    for image, result in zip(IMAGES, results, strict=True):
        if image == b"broken":
            assert isinstance(result, InvalidRequestError)
        else:
            assert isinstance(result, UpscaledImage)
            assert result.image == image


def test_many_come_in_order_each_its_result_or_its_error() -> None:
    taken: list[int] = []
    with Client("http://test", transport=httpx.MockTransport(answer_by_body)) as client:
        results = client.upscale_many(counted(IMAGES, taken), num_at_once=2)
        first = next(results)
        assert taken == [0, 1]
        check_many([first, *results])


async def test_many_come_in_order_from_the_async_client_too() -> None:
    taken: list[int] = []
    async with AsyncClient("http://test", transport=httpx.MockTransport(answer_by_body)) as client:
        results = client.upscale_many(counted(IMAGES, taken), num_at_once=2)
        first = await anext(results)
        assert taken == [0, 1]
        check_many([first, *[result async for result in results]])


async def test_many_that_are_not_waited_for_are_stopped(tmp_path: Path) -> None:
    images = [tmp_path / "missing.png", b"1"]
    with Client("http://test", transport=httpx.MockTransport(answer_by_body)) as client:
        results = client.upscale_many(images)
        assert isinstance(next(results), FileNotFoundError)
        results.close()
    async with AsyncClient("http://test", transport=httpx.MockTransport(answer_by_body)) as other:
        found = other.upscale_many(images)
        assert isinstance(await anext(found), FileNotFoundError)
        await found.aclose()


def test_client_loads_no_torch_and_no_server() -> None:
    code = (
        "import sys, service.client; "
        "sys.exit(bool({'torch', 'numpy', 'fastapi', 'service.app'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False)
    assert ended.returncode == 0
