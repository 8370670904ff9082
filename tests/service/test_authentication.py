"""API keys by HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Message

from service.app import create_app
from service.errors import StartupError
from service.settings import Settings
from tests.fakes import ManualClock, NearestEngine, served_classifier
from tests.service.access.keys import key_line
from tests.service.routes.test_ecm import post_pairs, read
from tests.service.support import as_file, assert_problem, noise, post_image, running

pytestmark = pytest.mark.anyio

ANNA, BEN, FEW = "annas-secret", "bens-secret", "a-secret-of-few"
PROBES = ["/livez", "/readyz", "/startupz", "/metrics", "/v2/health/live", "/v2/health/ready"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(key_line("anna", ANNA) + key_line("ben", BEN) + key_line("few", FEW, 2))
    return path


@pytest.fixture
def engine() -> NearestEngine:
    engine = NearestEngine(classifier=served_classifier())
    engine.emotion_of = read
    return engine


def settings_with(path: Path) -> Settings:
    return Settings(codec_threads=1, readout="none", api_keys_file=path)


@pytest.fixture
async def client(
    path: Path, engine: NearestEngine, clock: ManualClock
) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings_with(path), engine=engine, clock=clock)
    async with running(app) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {ANNA}"},
        {"Authorization": f"bearer  {ANNA} "},
        {"X-API-Key": ANNA},
        {"X-API-Key": ANNA, "Authorization": "Basic of-a-proxy"},
    ],
)
async def test_known_key_is_let_in(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert (await client.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "says", "challenge"),
    [
        ({}, "the service needs an API key; send it as", 'Bearer realm="affectsr"'),
        ({"Authorization": "Bearer "}, "needs an API key", 'Bearer realm="affectsr"'),
        ({"X-API-Key": " "}, "needs an API key", 'Bearer realm="affectsr"'),
        ({"Authorization": f"Basic {ANNA}"}, "another scheme", 'Bearer realm="affectsr"'),
        ({"Authorization": ANNA}, "another scheme than Bearer", 'Bearer realm="affectsr"'),
        (
            {"Authorization": f"Bearer {ANNA}x"},
            "is not known here",
            'Bearer realm="affectsr", error="invalid_token"',
        ),
        (
            {"X-API-Key": "unknown", "Authorization": f"Bearer {ANNA}"},
            "is not known here",
            'Bearer realm="affectsr", error="invalid_token"',
        ),
    ],
)
async def test_others_are_answered_401_with_a_challenge(
    client: httpx.AsyncClient, headers: dict[str, str], says: str, challenge: str
) -> None:
    for response in (
        await client.get("/v1/models", headers=headers),
        await client.post("/v1/upscale", headers=headers, content=b"no image"),
        await client.get("/nowhere", headers=headers),
    ):
        assert_problem(response, status=401, kind="unauthorized", says=says)
        assert response.headers["www-authenticate"] == challenge
        assert ANNA not in response.text


@pytest.mark.parametrize(
    "path_without", [*PROBES, "/docs", "/openapi.json", "/", "/studio/page.css"]
)
async def test_probes_metrics_and_pages_need_no_key(
    client: httpx.AsyncClient, path_without: str
) -> None:
    assert (await client.get(path_without)).status_code == 200


async def test_paths_like_those_of_probes_need_one(client: httpx.AsyncClient) -> None:
    for path in (
        "/livez/",
        "/docs/staticx",
        "/v2",
        "/v2/health/ready/x",
        "//livez",
        "/studio",
        "/index.html",
    ):
        assert (await client.get(f"http://test{path}")).status_code == 401, path


async def test_body_that_never_ends_is_answered_401_unread(
    path: Path, engine: NearestEngine
) -> None:
    app = create_app(settings_with(path), engine=engine)
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/upscale",
        "query_string": b"",
        "headers": [(b"content-type", b"image/png"), (b"transfer-encoding", b"chunked")],
    }
    async with running(app):
        await asyncio.wait_for(app(scope, receive, send), timeout=20)
    assert sent[0]["status"] == 401
    # What is left of the body must not be taken for the next request.
    assert (b"connection", b"close") in sent[0]["headers"]


async def test_keys_are_read_before_anybody_comes_in(path: Path, engine: NearestEngine) -> None:
    app = create_app(settings_with(path), engine=engine)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.get("/v1/models", headers=bearer(ANNA))
    assert_problem(response, status=503, kind="not-ready", says="is starting", retryable=True)


async def test_service_does_not_start_without_its_keys(
    tmp_path: Path, engine: NearestEngine
) -> None:
    told: list[Exception] = []
    app = create_app(
        settings_with(tmp_path / "none"), engine=engine, on_startup_failure=told.append
    )
    with pytest.raises(StartupError, match=r"AFFECTSR_API_KEYS_FILE=.*none cannot be used: No"):
        async with running(app):
            pass
    assert len(told) == 1


async def test_rotated_key_counts_without_a_restart(
    client: httpx.AsyncClient, path: Path, clock: ManualClock
) -> None:
    assert (await client.get("/v1/models", headers=bearer("fresh"))).status_code == 401
    path.write_text(key_line("anna", "fresh"))
    clock.advance(1)
    assert (await client.get("/v1/models", headers=bearer("fresh"))).status_code == 200
    assert (await client.get("/v1/models", headers=bearer(ANNA))).status_code == 401


async def test_request_over_the_keys_limit_is_answered_429(
    client: httpx.AsyncClient, clock: ManualClock
) -> None:
    data = as_file(noise())
    for _ in range(2):
        assert (await post_image(client, data, X_API_Key=FEW)).status_code == 200
    refused = await post_image(client, data, X_API_Key=FEW)
    assert_problem(refused, status=429, kind="rate-limited", says="its 2 requests", retryable=True)
    assert refused.headers["retry-after"] == "60"
    for _ in range(4):
        assert (await post_image(client, data, X_API_Key=ANNA)).status_code == 200
    clock.advance(60)
    assert (await post_image(client, data, X_API_Key=FEW)).status_code == 200


async def test_keys_of_two_names_neither_see_nor_touch_each_others_sets(
    client: httpx.AsyncClient,
) -> None:
    added = await post_pairs(client, (10, 30), query="?set=s", X_API_Key=ANNA)
    assert added.json()["set"]["ecm"]["n"] == 1
    assert (await client.get("/v1/ecm/sets", headers=bearer(BEN))).json() == {"sets": []}
    assert (await client.get("/v1/ecm/sets/s", headers=bearer(BEN))).status_code == 404
    assert (await client.delete("/v1/ecm/sets/s", headers=bearer(BEN))).status_code == 404
    twice = await post_pairs(client, (10, 30), (10, 20), query="?set=s", X_API_Key=BEN)
    assert twice.json()["set"]["ecm"]["n"] == 2
    assert (await client.delete("/v1/ecm/sets/s", headers=bearer(BEN))).status_code == 204
    kept = (await client.get("/v1/ecm/sets", headers=bearer(ANNA))).json()["sets"]
    assert [(entry["name"], entry["n"]) for entry in kept] == [("s", 1)]


async def test_no_key_and_no_name_stands_in_the_metrics(client: httpx.AsyncClient) -> None:
    for key in (ANNA, "unknown-secret"):
        await client.get("/v1/models", headers=bearer(key))
    text = (await client.get("/metrics")).text
    assert 'affectsr_rejected_total{reason="unauthorized"} 1.0' in text
    for secret in (ANNA, "anna", "unknown-secret"):
        assert secret not in text


async def test_openapi_document_tells_keys_where_they_are_in_use(
    client: httpx.AsyncClient, settings: Settings, engine: NearestEngine
) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["components"]["securitySchemes"]["header"]["name"] == "X-API-Key"
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) is (path not in PROBES)
            assert ("401" in operation["responses"]) is (path not in PROBES)
    async with running(create_app(settings, engine=engine)) as open_client:
        assert "security" not in (await open_client.get("/openapi.json")).text.lower()
        assert (await open_client.get("/v1/models")).status_code == 200
