"""Running sets by HTTP, in memory and in a real Redis."""

from collections.abc import AsyncIterator

import httpx
import pytest

from service.settings import Settings
from tests.fakes import NearestEngine, served_classifier
from tests.redis_server import RedisServer
from tests.service.routes.test_busy import eventually
from tests.service.routes.test_ecm import CLASSIFIER, post_pairs, read
from tests.service.support import as_file, assert_problem, client_of, plain, post_image

pytestmark = pytest.mark.anyio


def engine_of(version: str = "1") -> NearestEngine:
    engine = NearestEngine(classifier=served_classifier(version=version))
    engine.emotion_of = read
    return engine


def settings_with(redis: RedisServer) -> Settings:
    return Settings.model_validate(
        {"codec_threads": 1, "redis_url": redis.url, "redis_timeout_ms": 5000}
    )


@pytest.fixture(params=["memory", "redis"])
async def client(
    request: pytest.FixtureRequest, settings: Settings
) -> AsyncIterator[httpx.AsyncClient]:
    if request.param == "redis":
        settings = settings_with(request.getfixturevalue("redis"))
    async with client_of(settings, engine_of()) as client:
        yield client


async def test_set_grows_and_equals_one_request_of_all_its_pairs(
    client: httpx.AsyncClient,
) -> None:
    first = (await post_pairs(client, (10, 30), query="?set=nightly")).json()
    second = (await post_pairs(client, (20, 20), (30, 30), query="?set=nightly")).json()
    at_once = (await post_pairs(client, (10, 30), (20, 20), (30, 30))).json()
    assert first["set"]["name"] == "nightly"
    assert first["set"]["ecm"]["n"] == 1
    assert second["ecm"]["n"] == 2
    grown = second["set"]["ecm"]
    assert grown.pop("l_conf") == pytest.approx(at_once["ecm"].pop("l_conf"), abs=1e-10)
    assert grown.pop("value") == pytest.approx(at_once["ecm"].pop("value"), abs=1e-9)
    assert grown == at_once["ecm"]


async def test_shown_set_has_metric_interval_and_a_table_by_expression(
    client: httpx.AsyncClient,
) -> None:
    added = await post_pairs(client, (10, 30), (10, 20), (20, 20), query="?set=nightly")
    body = (await client.get("/v1/ecm/sets/nightly")).json()
    assert body["name"] == "nightly"
    assert body["classifier"] == CLASSIFIER
    assert body["ecm"] == added.json()["set"]["ecm"]
    assert body["interval"]["method"] == "sums"
    assert body["interval"]["low"] < body["ecm"]["value"] < body["interval"]["high"]
    assert body["agreement"] == pytest.approx(2 / 3)
    rows = body["expressions"]
    assert (rows["neutral"]["n"], rows["neutral"]["kept"]) == (2, 1)
    assert rows["neutral"]["agreement"] == 0.5
    assert (rows["happy"]["n"], rows["happy"]["kept"]) == (1, 1)
    assert (rows["fear"]["n"], rows["fear"]["agreement"]) == (0, None)
    assert sum(row["l_h"] for row in rows.values()) == pytest.approx(body["ecm"]["l_h"])
    assert 0 < body["expires_in_seconds"] <= 7 * 24 * 3600


async def test_repeated_request_with_its_key_counts_once(client: httpx.AsyncClient) -> None:
    replies = [
        (await post_pairs(client, (10, 30), query="?set=s", Idempotency_Key="k1")).json()
        for _ in range(3)
    ]
    assert [reply["set"]["replayed"] for reply in replies] == [False, True, True]
    assert [reply["set"]["ecm"]["n"] for reply in replies] == [1, 1, 1]
    assert replies[2]["pairs"] == replies[0]["pairs"]


async def test_without_a_key_it_counts_each_time(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        reply = (await post_pairs(client, (10, 30), query="?set=s")).json()
    assert reply["set"]["ecm"]["n"] == 3


async def test_key_with_other_images_is_refused(client: httpx.AsyncClient) -> None:
    await post_pairs(client, (10, 30), query="?set=s", Idempotency_Key="k1")
    swapped = await post_pairs(client, (30, 10), query="?set=s", Idempotency_Key="k1")
    assert_problem(
        swapped,
        status=422,
        kind="idempotency-key-reused",
        says="'k1' came with other pairs before, for set 's'; take a new key",
    )


async def test_listing_and_deleting(client: httpx.AsyncClient) -> None:
    for name in ("b", "a"):
        await post_pairs(client, (10, 30), (10, 20), query=f"?set={name}")
    listed = (await client.get("/v1/ecm/sets")).json()["sets"]
    assert [(entry["name"], entry["n"]) for entry in listed] == [("a", 2), ("b", 2)]
    assert listed[0]["classifier"] == CLASSIFIER
    deleted = await client.delete("/v1/ecm/sets/a")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert [e["name"] for e in (await client.get("/v1/ecm/sets")).json()["sets"]] == ["b"]


async def test_unknown_set(client: httpx.AsyncClient) -> None:
    for response in (
        await client.get("/v1/ecm/sets/nobody"),
        await client.delete("/v1/ecm/sets/nobody"),
    ):
        assert_problem(
            response, status=404, kind="unknown-set", says="GET /v1/ecm/sets lists what there is"
        )


@pytest.mark.parametrize("name", ["-a", ".a", "a b", "a%2Fb", "a" * 65, "%C3%A9", "a%0A"])
async def test_name_of_the_wrong_form(client: httpx.AsyncClient, name: str) -> None:
    posted = await post_pairs(client, (10, 30), query=f"?set={name}")
    assert_problem(
        posted, status=422, kind="invalid-parameter", says="[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
    )
    assert (await client.get("/v1/ecm/sets")).json() == {"sets": []}
    if "%2F" not in name:  # which is another path
        for response in (
            await client.get(f"/v1/ecm/sets/{name}"),
            await client.delete(f"/v1/ecm/sets/{name}"),
        ):
            assert_problem(response, status=422, kind="invalid-parameter", says="at most 64")


async def test_refused_pairs_leave_the_set_as_it_was(client: httpx.AsyncClient) -> None:
    await post_pairs(client, (10, 30), query="?set=s")
    files = [("original", ("a", as_file(plain(10)))), ("super_resolved", ("b", b"text"))]
    assert (await client.post("/v1/ecm?set=s", files=files)).status_code == 415
    assert (await client.get("/v1/ecm/sets/s")).json()["ecm"]["n"] == 1


async def test_another_classifier_is_refused_with_409_and_the_set_can_still_be_read(
    redis: RedisServer,
) -> None:
    settings = settings_with(redis)
    async with client_of(settings, engine_of("1")) as client:
        await post_pairs(client, (10, 30), query="?set=s")
    async with client_of(settings, engine_of("2")) as client:
        response = await post_pairs(client, (10, 30), query="?set=s")
        assert_problem(
            response,
            status=409,
            kind="other-classifier",
            says="were read by emotion-tiny@1 and these by emotion-tiny@2",
        )
        assert (await client.get("/v1/ecm/sets/s")).json()["classifier"] == CLASSIFIER
    async with client_of(settings, NearestEngine()) as client:
        assert (await client.get("/v1/ecm/sets/s")).json()["ecm"]["n"] == 1


async def test_too_many_sets(settings: Settings) -> None:
    settings = Settings(codec_threads=1, max_ecm_sets=1)
    async with client_of(settings, engine_of()) as client:
        await post_pairs(client, (10, 30), query="?set=a")
        response = await post_pairs(client, (10, 30), query="?set=b")
    assert_problem(response, status=409, kind="too-many-sets", says="there are 1 sets")


async def redis_is_used(client: httpx.AsyncClient) -> bool:
    """Whether the service has noticed that Redis answers, by a probe that it sends each second."""
    return "affectsr_redis_breaker_state 2.0" not in (await client.get("/metrics")).text


async def test_redis_that_is_down_costs_the_sets_alone(redis: RedisServer) -> None:
    settings = settings_with(redis)
    redis.stop()
    async with client_of(settings, engine_of()) as client:
        for response in (
            await post_pairs(client, (10, 30), query="?set=s", Idempotency_Key="k1"),
            await client.get("/v1/ecm/sets/s"),
            await client.get("/v1/ecm/sets"),
            await client.delete("/v1/ecm/sets/s"),
        ):
            assert_problem(
                response,
                status=503,
                kind="sets-unavailable",
                says="Comparing pairs without `set` needs no Redis",
                retryable=True,
            )
            assert int(response.headers["retry-after"]) >= 1
        assert (await post_pairs(client, (10, 30))).status_code == 200
        assert (await post_image(client, as_file(plain(10)))).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        redis.start()
        await eventually(lambda: redis_is_used(client))
        added = await post_pairs(client, (10, 30), query="?set=s", Idempotency_Key="k1")
        assert added.json()["set"]["ecm"]["n"] == 1
