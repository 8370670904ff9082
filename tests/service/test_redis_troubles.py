"""Redis in every kind of trouble costs no request: none fails, and next to none waits for it.

The service under test shares its cache and its limits of API keys; its twin has no Redis at all.
Both are called in turns. `python -m tests.bench.bench_redis` measures the same with processes of
their own, where 1.05 of the twin's p99 is what is asked for.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest

from model_store.image_tensor import RgbImage
from service.settings import Settings
from tests.fakes import NearestEngine
from tests.redis_troubles import TROUBLES
from tests.service.access.keys import key_line
from tests.service.support import as_file, client_of, noise, post_image

pytestmark = pytest.mark.anyio

NUM_TURNS, NUM_REQUESTS, NUM_CALLERS = 3, 24, 4
ENGINE_SECONDS = 0.005

# A Redis that answers in good time is used, whatever it answers.
IS_LEFT_ALONE = {"refused", "silent", "slow by 20 ms", "slow by 200 ms"}
# Three failures or fifteen slow answers, and what was under way meanwhile.
MOST_WHO_WAIT = 25


class TimedEngine(NearestEngine):
    """Takes its time for a batch, as a device does."""

    def __init__(self) -> None:
        super().__init__()
        self.before_batch = self._take_time

    @staticmethod
    def _take_time(images: Sequence[RgbImage]) -> None:
        time.sleep(ENGINE_SECONDS)


def settings_of(path: Path, **more: object) -> Settings:
    path.write_text(key_line("anna", "KEY", 1_000_000))
    return Settings.model_validate({"codec_threads": 1, "api_keys_file": path, **more})


async def seconds_of_calls(client: httpx.AsyncClient, turn: int) -> list[float]:
    """Latencies of requests for images that were never seen before; each is answered with 200."""
    images = iter([as_file(noise(seed=1000 * turn + n)) for n in range(NUM_REQUESTS)])
    seconds = []

    async def call_in_turn() -> None:
        for image in images:
            started_at = time.perf_counter()
            response = await post_image(client, image, x_api_key="KEY")
            seconds.append(time.perf_counter() - started_at)
            assert response.status_code == 200, response.text

    await asyncio.gather(*(call_in_turn() for _ in range(NUM_CALLERS)))
    return seconds


async def look_ups(client: httpx.AsyncClient) -> dict[str, int]:
    """In Redis, by their result."""
    text = (await client.get("/metrics")).text
    found = re.findall(r'affectsr_cache_total{result="(\w+)",tier="redis"} ([0-9.]+)', text)
    return {result: int(float(value)) for result, value in found}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_no_request_fails_and_next_to_none_waits(trouble: str, tmp_path: Path) -> None:
    seconds: list[float] = []
    twins_seconds: list[float] = []
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(TROUBLES[trouble]())
        shared = settings_of(tmp_path / "keys", cache="shared", redis_url=redis.url)
        local = settings_of(tmp_path / "keys", cache="local")
        client = await stack.enter_async_context(client_of(shared, TimedEngine()))
        twin = await stack.enter_async_context(client_of(local, TimedEngine()))
        await seconds_of_calls(client, 0)
        begins = asyncio.create_task(redis.midway())
        await seconds_of_calls(client, 1)
        await begins
        for turn in range(2, 2 + NUM_TURNS):
            seconds += await seconds_of_calls(client, turn)
            twins_seconds += await seconds_of_calls(twin, turn)
        counts = await look_ups(client)
    if trouble in IS_LEFT_ALONE:
        num_look_ups = (2 + NUM_TURNS) * NUM_REQUESTS
        assert counts["skipped"] >= num_look_ups - MOST_WHO_WAIT, counts
    # No more than what a busy machine, on which all of this runs in one process, cannot explain.
    assert np.quantile(seconds, 0.9) < 3 * np.quantile(twins_seconds, 0.9) + 0.05
