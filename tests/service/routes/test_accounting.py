"""What the callers counted is what the server counted, for every status."""

import asyncio
import re
from collections import Counter

import pytest

from service.settings import Settings
from tests.fakes import NearestEngine
from tests.service.support import as_file, client_of, form_files, noise, plain, post_image

pytestmark = pytest.mark.anyio

SERIES = re.compile(r'affectsr_requests_total\{code="(\d+)",route="([^"]+)"\} ([\d.]+)')


def counted_by_server(exposition: str) -> Counter[int]:
    counts: Counter[int] = Counter()
    for code, route, value in SERIES.findall(exposition):
        if route != "/metrics":
            counts[int(code)] += int(float(value))
    return counts


async def test_client_and_server_count_the_same_for_every_status(engine: NearestEngine) -> None:
    settings = Settings(
        queue_capacity=9,
        max_images_per_request=2,
        max_body_bytes=50_000,
        max_image_bytes=50_000,
        codec_threads=2,
    )
    engine.is_poisoned = lambda image: bool(image[0, 0, 0] == 13)
    async with client_of(settings, engine) as client:
        responses = [
            await post_image(client, as_file(noise())),
            await post_image(client, b""),
            await post_image(client, as_file(noise())[:60]),
            await post_image(client, b"GIF89a" + bytes(50)),
            await post_image(client, as_file(noise(4, 4))),
            await post_image(client, bytes(50_001)),
            await post_image(client, as_file(noise()), query="?scale=3"),
            await post_image(client, as_file(noise()), query="?model=other"),
            await post_image(client, as_file(noise()), accept="text/plain"),
            await post_image(client, as_file(plain(13))),
            await client.post("/v1/upscale", files=form_files(*[as_file(noise())] * 3)),
            await client.get("/v1/upscale"),
            await client.get("/nowhere"),
            await client.get("/livez"),
        ]
        engine.may_run.clear()
        crowd = [asyncio.create_task(post_image(client, as_file(noise()))) for _ in range(20)]
        hurried = asyncio.create_task(
            post_image(client, as_file(noise()), x_request_timeout_ms="30")
        )
        done, _ = await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result().status_code for task in done} == {429}
        engine.may_run.set()
        responses += await asyncio.gather(*crowd, hurried)
        exposition = (await client.get("/metrics")).text
    counted = Counter(response.status_code for response in responses)
    assert counted_by_server(exposition) == counted
    assert set(counted) >= {200, 400, 404, 405, 406, 413, 415, 422, 429, 500}
    refusals = re.findall(r"affectsr_rejected_total\{[^}]*\} ([\d.]+)", exposition)
    assert sum(int(float(value)) for value in refusals) == counted.total() - counted[200]
