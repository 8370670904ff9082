"""What callers and probes see of a device that is short of memory, hangs or is lost."""

import asyncio
from collections.abc import Sequence

import pytest

from model_store.image_tensor import RgbImage
from service.app import create_app
from service.errors import DeviceLostError, DeviceMemoryError
from service.routes.services import services_in
from service.settings import Settings
from tests.fakes import NearestEngine
from tests.service.support import (
    as_array,
    as_file,
    assert_problem,
    client_of,
    plain,
    post_image,
    running,
)

pytestmark = pytest.mark.anyio


async def test_batches_over_the_devices_memory_are_run_in_parts(engine: NearestEngine) -> None:
    def allocate(images: Sequence[RgbImage]) -> None:
        if len(images) > 4:
            raise DeviceMemoryError("the memory is full")

    engine.before_batch = allocate
    app = create_app(Settings(max_batch_size=16), engine=engine)
    async with running(app) as client:
        pipeline = services_in(app).pipeline
        assert pipeline is not None
        pipeline._room.batcher.hold(until_queued=16)
        responses = await asyncio.gather(
            *(post_image(client, as_file(plain(level)), accept="image/png") for level in range(16))
        )
        assert [as_array(response.content)[0, 0, 0] for response in responses] == list(range(16))
        metrics = (await client.get("/metrics")).text
    assert "affectsr_oom_splits_total 2.0" in metrics
    assert [len(batch) for batch in engine.batches] == [16, 8, 4, 4, 4, 4]


async def test_image_that_alone_exceeds_the_memory_may_be_retried(
    settings: Settings, engine: NearestEngine
) -> None:
    def allocate(images: Sequence[RgbImage]) -> None:
        raise DeviceMemoryError("the memory is full")

    engine.before_batch = allocate
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(plain(1)))
    assert_problem(
        response, status=503, kind="device-memory", says="memory is full", retryable=True
    )
    assert int(response.headers["retry-after"]) >= 1


async def test_lost_device_ends_readiness_and_life_at_once(
    settings: Settings, engine: NearestEngine
) -> None:
    def fail(images: Sequence[RgbImage]) -> None:
        raise DeviceLostError("an illegal access")

    engine.before_batch = fail
    async with client_of(settings, engine) as client:
        for says in ("an illegal access", "send the request to another replica"):
            response = await post_image(client, as_file(plain(1)))
            assert_problem(response, status=503, kind="device-lost", says=says, retryable=True)
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).status_code == 503
        assert "affectsr_ready 0.0" in (await client.get("/metrics")).text


async def test_hung_device_costs_readiness_until_it_comes_back(engine: NearestEngine) -> None:
    async with client_of(Settings(device_stall_seconds=0.2, codec_threads=1), engine) as client:
        engine.may_run.clear()
        responses = await asyncio.gather(
            *(post_image(client, as_file(plain(level))) for level in range(5))
        )
        for response in responses:
            assert_problem(
                response,
                status=503,
                kind="device-stalled",
                says="the device has not answered",
                retryable=True,
            )
        ready = await client.get("/readyz")
        assert_problem(
            ready, status=503, kind="device-stalled", says="does not answer", retryable=True
        )
        assert (await client.get("/livez")).status_code == 200
        engine.may_run.set()
        async with asyncio.timeout(10):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.01)
        assert (await post_image(client, as_file(plain(9)))).status_code == 200
