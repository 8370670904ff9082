"""Measure what a request costs here: python -m docker.capacity.measure OUT.json [options].

Everything is processor seconds, so that other work on the machine changes it little: decoding the
sample face of 32 x 32 pixels, encoding a JPEG of the one of 128 x 128, Redis counting a request of
an API key with a limit, and the event loop, which is what the whole process uses around an engine
that computes nothing, less decoding and encoding. The device's costs are given: `--batch-ms` and
`--item-ms`, the straight line through what `affectsr bench engine` finds for several batch sizes.
"""

import argparse
import asyncio
import platform
import sys
import time
from collections.abc import Callable
from contextlib import aclosing, closing
from pathlib import Path

import httpx
from redis import Redis

from docker.capacity.costs import Costs, write_costs
from service.access import RequestLimits
from service.bench.stub import running_stub
from service.images import ImageLimits
from service.images.decode import decode_image
from service.images.encode import encode_image
from service.redis_link import RedisLink
from service.settings import Settings

_REPETITIONS = 300
_SAMPLES = Path(__file__).resolve().parents[2] / "docs/samples"
# Headers of a request and of a reply as httpx and the service write them, and those of TCP and IP.
_OVERHEAD_BYTES = 1500


def measure(redis_url: str, *, batch_seconds: float, item_seconds: float) -> Costs:
    """Measure everything but the device."""
    settings = Settings()
    limits = ImageLimits(
        max_image_bytes=settings.max_image_bytes,
        min_image_side_px=settings.min_image_side_px,
        max_image_side_px=settings.max_image_side_px,
        max_aspect_ratio=settings.max_aspect_ratio,
    )
    face = (_SAMPLES / "face_32px.png").read_bytes()
    sr = decode_image((_SAMPLES / "face_128px.png").read_bytes(), limits).rgb
    decode_seconds = _processor_seconds(lambda: decode_image(face, limits))
    encode_seconds = _processor_seconds(lambda: encode_image(sr, "image/jpeg"))
    return Costs(
        loop_seconds=_service_seconds(face) - decode_seconds - encode_seconds,
        decode_seconds=decode_seconds,
        encode_seconds=encode_seconds,
        batch_seconds=batch_seconds,
        item_seconds=item_seconds,
        redis_seconds=asyncio.run(_redis_seconds(redis_url)),
        request_bytes=len(face) + _OVERHEAD_BYTES,
        reply_bytes=len(encode_image(sr, "image/jpeg")) + _OVERHEAD_BYTES,
        source=f"processor seconds on {platform.machine()}, Python {platform.python_version()}",
    )


def _processor_seconds(work: Callable[[], object]) -> float:
    work()
    began_at = time.thread_time()
    for _ in range(_REPETITIONS):
        work()
    return (time.thread_time() - began_at) / _REPETITIONS


def _service_seconds(face: bytes) -> float:
    """Processor time of the whole service for a request, around an engine that takes none."""
    with (
        running_stub(base_ms=0, item_ms=0, settings={}) as stub,
        httpx.Client(base_url=f"http://{stub.address.host}:{stub.address.port}") as client,
    ):

        def send(number: int) -> None:
            for _ in range(number):
                reply = client.post(
                    "/v1/upscale", content=face, headers={"Content-Type": "image/png"}
                )
                reply.raise_for_status()

        send(50)
        before = _processor_seconds_of(client)
        send(_REPETITIONS)
        return (_processor_seconds_of(client) - before) / _REPETITIONS


def _processor_seconds_of(client: httpx.Client) -> float:
    name = "process_cpu_seconds_total "
    (line,) = (one for one in client.get("/metrics").text.splitlines() if one.startswith(name))
    return float(line.removeprefix(name))


async def _redis_seconds(url: str) -> float:
    """Processor time of the Redis server for counting one request of an API key."""
    link = RedisLink(url, timeout_seconds=5, clock=time.monotonic)
    limits = RequestLimits(clock=time.monotonic, link=link)
    with closing(Redis.from_url(url)) as observer:
        async with aclosing(link):
            await limits.count("capacity", per_minute=10**9)
            before = _server_seconds(observer)
            for _ in range(10 * _REPETITIONS):
                await limits.count("capacity", per_minute=10**9)
            return (_server_seconds(observer) - before) / (10 * _REPETITIONS)


def _server_seconds(redis: "Redis") -> float:
    used = redis.info("cpu")
    return float(used["used_cpu_sys"]) + float(used["used_cpu_user"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m docker.capacity.measure")
    parser.add_argument("out", type=Path, help="JSON file to write")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/0", help="a Redis of its own")
    parser.add_argument("--batch-ms", type=float, default=0, help="of the device, for a batch")
    parser.add_argument(
        "--item-ms", type=float, required=True, help="of the device, for each face in a batch"
    )
    options = parser.parse_args()
    costs = measure(
        options.redis,
        batch_seconds=options.batch_ms / 1000,
        item_seconds=options.item_ms / 1000,
    )
    write_costs(options.out, costs)
    sys.stdout.write(options.out.read_text("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
