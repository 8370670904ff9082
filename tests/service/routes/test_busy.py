"""Many callers at once: each its own image; full, late and gone callers cost nobody else."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import numpy as np
import pytest

from service.app import create_app
from service.settings import Settings
from tests.fakes import ManualClock, NearestEngine
from tests.service.support import (
    as_array,
    as_file,
    assert_problem,
    client_of,
    form_files,
    noise,
    plain,
    post_image,
    running,
)

pytestmark = pytest.mark.anyio

PNG = {"accept": "image/png"}


async def eventually(claim: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until a claim is true, for ten seconds at most."""
    async with asyncio.timeout(10):
        while True:
            outcome = claim()
            if outcome if isinstance(outcome, bool) else await outcome:
                return
            await asyncio.sleep(0.005)


async def metric(client: httpx.AsyncClient, name: str) -> float:
    for line in (await client.get("/metrics")).text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[-1])
    raise AssertionError(f"no series {name}")


async def test_sixty_four_callers_each_get_their_own_image(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        responses = await asyncio.gather(
            *(post_image(client, as_file(plain(level)), **PNG) for level in range(64))
        )
    assert [response.status_code for response in responses] == [200] * 64
    assert [as_array(response.content)[5, 5, 0] for response in responses] == list(range(64))
    assert sum(len(batch) for batch in engine.batches) == 64
    assert max(len(batch) for batch in engine.batches) > 1


async def test_a_poisoned_image_fails_its_own_caller_only(
    settings: Settings, engine: NearestEngine
) -> None:
    def explode(images: object) -> None:
        if any(image[0, 0, 0] == 13 for image in images):  # type: ignore[attr-defined]
            raise RuntimeError("a kernel failed")

    engine.before_batch = explode
    async with client_of(settings, engine) as client:
        responses = await asyncio.gather(
            *(post_image(client, as_file(plain(level)), **PNG) for level in range(16))
        )
        poisoned = responses.pop(13)
        assert_problem(
            poisoned, status=500, kind="item-failed", says="the model failed on this image"
        )
        assert [response.status_code for response in responses] == [200] * 15
        assert await metric(client, "affectsr_poisoned_total") == 1


async def test_full_service_refuses_with_a_time_to_come_back(engine: NearestEngine) -> None:
    settings = Settings(queue_capacity=5, max_images_per_request=4, codec_threads=1)
    async with client_of(settings, engine) as client:
        engine.may_run.clear()
        admitted = [asyncio.create_task(post_image(client, as_file(noise()))) for _ in range(4)]
        await eventually(lambda: _is(client, "affectsr_inflight", 4))
        refused = await post_image(client, as_file(noise()))
        assert_problem(
            refused, status=429, kind="overloaded", says="the 4 that fit", retryable=True
        )
        assert int(refused.headers["retry-after"]) >= 1
        assert (await client.get("/readyz")).status_code == 200
        engine.may_run.set()
        assert [response.status_code for response in await asyncio.gather(*admitted)] == [200] * 4
        assert (await post_image(client, as_file(noise()))).status_code == 200


async def _is(client: httpx.AsyncClient, name: str, value: float) -> bool:
    return await metric(client, name) == value


async def test_expired_request_is_not_sent_to_the_engine(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        engine.may_run.clear()
        first = asyncio.create_task(post_image(client, as_file(plain(1))))
        await eventually(engine.is_running.is_set)
        hurried = await post_image(client, as_file(plain(2)), x_request_timeout_ms="200")
        assert_problem(
            hurried,
            status=504,
            kind="deadline-exceeded",
            says="send X-Request-Timeout-Ms with a longer one",
            retryable=True,
        )
        engine.may_run.set()
        assert (await first).status_code == 200
        assert (await post_image(client, as_file(plain(3)))).status_code == 200
    levels = [image[0, 0, 0] for batch in engine.batches for image in batch]
    assert levels == [1, 3]


async def test_deadline_is_the_settings_where_the_caller_names_none(
    engine: NearestEngine,
) -> None:
    settings = Settings(request_timeout_ms=20, codec_threads=1)
    async with client_of(settings, engine) as client:
        engine.may_run.clear()
        response = await post_image(client, as_file(noise()))
        assert_problem(
            response, status=504, kind="deadline-exceeded", says="deadline passed", retryable=True
        )
        engine.may_run.set()


async def test_deadline_counts_for_all_images_of_a_request(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        engine.may_run.clear()
        response = await client.post(
            "/v1/upscale",
            files=form_files(as_file(noise()), as_file(noise())),
            headers={"X-Request-Timeout-Ms": "20"},
        )
        assert response.status_code == 504
        engine.may_run.set()


async def test_deadline_that_passes_while_the_body_arrives_is_504_not_408(
    settings: Settings, engine: NearestEngine, clock: ManualClock
) -> None:
    never = asyncio.Event()

    async def stalling() -> object:
        yield b"x"
        clock.advance(1)
        await never.wait()

    app = create_app(settings, engine=engine, clock=clock)
    async with running(app) as client:
        response = await client.post(
            "/v1/upscale",
            content=stalling(),  # type: ignore[arg-type]
            headers={"Content-Type": "image/png", "X-Request-Timeout-Ms": "10"},
        )
    assert_problem(
        response,
        status=504,
        kind="deadline-exceeded",
        says="while the body arrived",
        retryable=True,
    )


async def test_work_of_a_caller_who_left_is_dropped(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        engine.may_run.clear()
        first = asyncio.create_task(post_image(client, as_file(plain(1))))
        await eventually(engine.is_running.is_set)
        leaving = asyncio.create_task(post_image(client, as_file(plain(2))))
        await eventually(lambda: _is(client, "affectsr_queue_depth", 1))
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await eventually(lambda: _is(client, "affectsr_queue_depth", 0))
        await eventually(lambda: _is(client, "affectsr_inflight", 1))
        engine.may_run.set()
        assert (await first).status_code == 200
    assert [image[0, 0, 0] for batch in engine.batches for image in batch] == [1]


async def test_both_models_serve_mixed_sizes_at_once(
    settings: Settings, engine: NearestEngine
) -> None:
    sizes = [(16, 16), (32, 32), (20, 10), (64, 48), (300, 200)] * 4
    async with client_of(settings, engine) as client:
        responses = await asyncio.gather(
            *(post_image(client, as_file(noise(w, h)), **PNG) for w, h in sizes)
        )
    for (width, height), response in zip(sizes, responses, strict=True):
        image = as_array(response.content)
        assert max(image.shape) == 128
        assert np.isclose(image.shape[1] / image.shape[0], width / height, rtol=0.02)
