"""The response cache by HTTP: who is given what, and for whom the engine runs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.fakes import NearestEngine, served_classifier, served_model
from tests.redis_server import RedisServer
from tests.service.access.keys import key_line
from tests.service.routes.test_busy import eventually, metric
from tests.service.support import (
    as_array,
    as_file,
    assert_problem,
    client_of,
    form_files,
    noise,
    plain,
    post_image,
)

pytestmark = pytest.mark.anyio

CACHE = "x-affectsr-cache"
PNG, JPEG, JSON = {"accept": "image/png"}, {"accept": "image/jpeg"}, {"accept": "application/json"}


@pytest.fixture
def settings() -> Settings:
    return Settings(codec_threads=2, cache="local")


@pytest.fixture
async def client(settings: Settings, engine: NearestEngine) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(settings, engine) as client:
        yield client


def num_forwards(engine: NearestEngine) -> int:
    return sum(len(batch) for batch in engine.batches)


def told(response: httpx.Response) -> dict[str, str]:
    """The headers but for what is each request's own."""
    own = {"x-request-id", "server-timing", CACHE}
    return {name: value for name, value in response.headers.items() if name not in own}


async def test_without_the_setting_nothing_is_kept(engine: NearestEngine) -> None:
    async with client_of(Settings(codec_threads=1), engine) as client:
        replies = [await post_image(client, as_file(noise())) for _ in range(2)]
    assert [CACHE in reply.headers for reply in replies] == [False, False]
    assert num_forwards(engine) == 2


async def test_same_request_again_is_answered_alike_without_the_engine(
    client: httpx.AsyncClient, engine: NearestEngine
) -> None:
    for headers in (JPEG, PNG, JSON):
        first = await post_image(client, as_file(noise(40, 30)), **headers)
        again = await post_image(client, as_file(noise(40, 30)), **headers)
        assert again.content == first.content
        assert told(again) == told(first)
        assert again.headers[CACHE] == "hit"
    # JSON holds a PNG, which was there already.
    assert num_forwards(engine) == 2


async def test_readout_is_told_alike_from_the_cache(settings: Settings) -> None:
    engine = NearestEngine(classifier=served_classifier())
    async with client_of(settings, engine) as client:
        replies = [await post_image(client, as_file(noise()), **JSON) for _ in range(2)]
        as_png = await post_image(client, as_file(noise()), **PNG)
    assert replies[0].json() == replies[1].json()
    assert replies[0].json()["expression"]["agrees"] is True
    assert told(replies[0]) == told(replies[1])
    assert as_png.headers[CACHE] == "hit"
    assert as_png.headers["x-affectsr-expression"] == "neutral"


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?scale=8", PNG),
        ("?model=affectsrnet-x8@1", PNG),
        ("?readout=none", PNG),
        ("", JPEG),
        ("", {"accept": "image/webp"}),
    ],
)
async def test_what_changes_the_reply_has_a_result_of_its_own(
    client: httpx.AsyncClient, engine: NearestEngine, query: str, headers: dict[str, str]
) -> None:
    await post_image(client, as_file(noise()), **PNG)
    other = await post_image(client, as_file(noise()), query=query, **headers)
    assert other.headers[CACHE] == "miss"
    again = await post_image(client, as_file(noise()), query=query, **headers)
    assert again.headers[CACHE] == "hit"
    assert again.headers["content-type"] == other.headers["content-type"]
    assert num_forwards(engine) == 2


async def test_other_names_of_the_same_model_are_the_same(client: httpx.AsyncClient) -> None:
    queries = ("?scale=4", "?model=affectsrnet-x4", "?model=affectsrnet-x4@1&scale=4")
    replies = [await post_image(client, as_file(noise()), query=query) for query in queries]
    assert [reply.headers[CACHE] for reply in replies] == ["miss", "hit", "hit"]


async def test_images_of_one_pixel_difference_are_told_apart(client: httpx.AsyncClient) -> None:
    image = plain(100)
    await post_image(client, as_file(image), **PNG)
    image[3, 4, 0] += 1
    other = await post_image(client, as_file(image), **PNG)
    assert other.headers[CACHE] == "miss"
    assert as_array(other.content)[3 * 4, 4 * 4, 0] == 101


# --- many at once ---


async def test_many_alike_at_once_are_one_forward(
    client: httpx.AsyncClient, engine: NearestEngine
) -> None:
    engine.may_run.clear()
    crowd = [asyncio.create_task(post_image(client, as_file(noise()))) for _ in range(24)]
    await eventually(lambda: joined(client, 23))
    assert await metric(client, "affectsr_inflight") == 1
    engine.may_run.set()
    replies = await asyncio.gather(*crowd)
    assert num_forwards(engine) == 1
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.content for reply in replies}) == 1
    assert sorted(reply.headers[CACHE] for reply in replies) == ["miss"] + ["shared"] * 23


async def joined(client: httpx.AsyncClient, number: int) -> bool:
    text = (await client.get("/metrics")).text
    return f'affectsr_cache_total{{result="joined",tier="flight"}} {number}.0' in text


async def test_others_get_the_result_though_the_first_has_left(
    client: httpx.AsyncClient, engine: NearestEngine
) -> None:
    engine.may_run.clear()
    leaving = asyncio.create_task(post_image(client, as_file(noise())))
    await eventually(engine.is_running.is_set)
    staying = asyncio.create_task(post_image(client, as_file(noise())))
    await eventually(lambda: joined(client, 1))
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    engine.may_run.set()
    assert (await staying).headers[CACHE] == "shared"
    assert num_forwards(engine) == 1


async def test_deadline_of_one_harms_no_other(
    client: httpx.AsyncClient, engine: NearestEngine
) -> None:
    engine.may_run.clear()
    hurried = asyncio.create_task(post_image(client, as_file(noise()), x_request_timeout_ms="300"))
    await eventually(engine.is_running.is_set)
    patient = asyncio.create_task(post_image(client, as_file(noise())))
    await eventually(lambda: joined(client, 1))
    late = await post_image(client, as_file(noise()), x_request_timeout_ms="20")
    for reply in (await hurried, late):
        assert_problem(
            reply, status=504, kind="deadline-exceeded", says="deadline passed", retryable=True
        )
    engine.may_run.set()
    assert (await patient).status_code == 200
    assert num_forwards(engine) == 1


async def test_work_that_nobody_waits_for_is_dropped(
    client: httpx.AsyncClient, engine: NearestEngine
) -> None:
    engine.may_run.clear()
    first = asyncio.create_task(post_image(client, as_file(plain(1))))
    await eventually(engine.is_running.is_set)
    hurried = [post_image(client, as_file(plain(2)), x_request_timeout_ms="50") for _ in range(3)]
    assert [reply.status_code for reply in await asyncio.gather(*hurried)] == [504] * 3
    engine.may_run.set()
    assert (await first).status_code == 200
    assert [image[0, 0, 0] for batch in engine.batches for image in batch] == [1]
    assert await metric(client, "affectsr_inflight") == 0


async def test_hit_needs_no_place_where_a_miss_is_refused(engine: NearestEngine) -> None:
    settings = Settings(queue_capacity=3, max_images_per_request=2, codec_threads=1, cache="local")
    async with client_of(settings, engine) as client:
        await post_image(client, as_file(plain(1)))
        engine.may_run.clear()
        crowd = [asyncio.create_task(post_image(client, as_file(plain(n)))) for n in (2, 3)]
        await eventually(lambda: is_inflight(client, 2))
        assert (await post_image(client, as_file(plain(1)))).headers[CACHE] == "hit"
        refused = await post_image(client, as_file(plain(4)))
        assert_problem(
            refused, status=429, kind="overloaded", says="the 2 that fit", retryable=True
        )
        assert int(refused.headers["retry-after"]) >= 1
        engine.may_run.set()
        await asyncio.gather(*crowd)


async def is_inflight(client: httpx.AsyncClient, number: int) -> bool:
    return await metric(client, "affectsr_inflight") == number


# --- what is not kept ---


async def test_error_is_not_kept(client: httpx.AsyncClient, engine: NearestEngine) -> None:
    engine.is_poisoned = lambda image: True
    assert (await post_image(client, as_file(noise()))).status_code == 500
    engine.is_poisoned = lambda image: False
    assert (await post_image(client, as_file(noise()))).headers[CACHE] == "miss"
    assert (await post_image(client, b"text")).status_code == 415
    assert (await post_image(client, b"text")).status_code == 415


@pytest.mark.parametrize("directive", ["no-store", "max-age=0, No-Cache"])
async def test_request_may_go_past_the_cache_and_leave_nothing_there(
    client: httpx.AsyncClient, engine: NearestEngine, directive: str
) -> None:
    for _ in range(2):
        passing = await post_image(client, as_file(noise()), cache_control=directive)
        assert passing.headers[CACHE] == "bypass"
    assert (await post_image(client, as_file(noise()))).headers[CACHE] == "miss"
    assert num_forwards(engine) == 3


async def test_several_images_are_looked_up_one_by_one(
    client: httpx.AsyncClient, engine: NearestEngine
) -> None:
    await post_image(client, as_file(plain(10)), **PNG)
    files = [as_file(plain(10)), b"text", as_file(plain(30)), as_file(plain(30))]
    first = await client.post("/v1/upscale", files=form_files(*files))
    again = await client.post("/v1/upscale", files=form_files(*files))
    assert first.headers[CACHE] == "mixed"
    assert again.headers[CACHE] == "hit"
    assert num_forwards(engine) == 2
    for reply in (first, again):
        items = reply.json()["items"]
        assert [item["problem"] is None for item in items] == [True, False, True, True]
    assert first.json()["items"][3] == again.json()["items"][3]


# --- whose it is, and what made it ---


async def test_what_was_made_for_one_api_key_is_not_given_to_another(
    engine: NearestEngine, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    names = {"first": "anna", "second": "anna", "third": "ben"}
    path.write_text("".join(key_line(name, key) for key, name in names.items()))
    settings = Settings(codec_threads=1, cache="local", api_keys_file=path)
    async with client_of(settings, engine) as client:
        replies = [await post_image(client, as_file(noise()), x_api_key=key) for key in names]
        assert [reply.headers[CACHE] for reply in replies] == ["miss", "hit", "miss"]
        engine.may_run.clear()
        at_once = [
            asyncio.create_task(post_image(client, as_file(plain(5)), x_api_key=key))
            for key in ("first", "third")
        ]
        await eventually(lambda: is_inflight(client, 2))
        engine.may_run.set()
        assert [reply.headers[CACHE] for reply in await asyncio.gather(*at_once)] == ["miss"] * 2


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.stop()


def sharing(redis: RedisServer) -> Settings:
    return Settings.model_validate(
        {
            "codec_threads": 1,
            "cache": "shared",
            "redis_url": redis.url,
            "redis_timeout_ms": 5000,
        }
    )


async def stored(client: httpx.AsyncClient) -> bool:
    return 'result="stored",tier="redis"} 1.0' in (await client.get("/metrics")).text


async def test_replica_gives_out_what_another_has_made(redis: RedisServer) -> None:
    replies = []
    for _ in range(2):
        engine = NearestEngine(classifier=served_classifier())
        async with client_of(sharing(redis), engine) as client:
            replies.append(await post_image(client, as_file(noise(seed=1)), **JSON))
            if len(replies) == 1:
                await eventually(lambda client=client: stored(client))
    assert [reply.headers[CACHE] for reply in replies] == ["miss", "hit"]
    assert replies[0].json() == replies[1].json()
    assert engine.batches == []


@pytest.mark.parametrize("changed", ["model", "classifier", "order"])
async def test_new_weights_never_give_what_the_old_ones_made(
    redis: RedisServer, changed: str
) -> None:
    models, classifier = [served_model(scale=4), served_model(scale=8)], served_classifier()
    before = NearestEngine(models, classifier=classifier)
    match changed:
        case "model":
            models = [replace(models[0], weights_sha256="1" * 64), models[1]]
        case "classifier":
            classifier = replace(classifier, weights_sha256="2" * 64)
        case "order":  # the first of a scale is its default
            models = models[::-1]
    after = NearestEngine(models, classifier=classifier)
    seed = 10 + ["model", "classifier", "order"].index(changed)
    for engine, expected in ((before, "miss"), (after, "miss"), (before, "hit")):
        async with client_of(sharing(redis), engine) as client:
            reply = await post_image(client, as_file(noise(seed=seed)))
            assert reply.headers[CACHE] == expected
            if expected == "miss":
                await eventually(lambda client=client: stored(client))
