"""What /v1/ecm costs over the bare classifier, what a readout costs, and what a large set costs.

    python -m tests.bench.bench_ecm [--rounds 5] [--pairs 128] [--model-root FOLDER]

Each alternating round by round, so that a busy machine hurts all alike:
- bare classifier: `Engine.read_emotions` (landmarks, alignment, classifier) on decoded images in a
  process of its own, in full batches;
- service: `affectsr serve` in another process, JPEG pairs over loopback: one a request, and
  eight; as many pairs under way as a batch has images, which is two batches, and two requests at
  the least;
- upscaling by the same service, with the readout and without;
- adding one pair to an empty set and to one of a million pairs, in memory and in a redis-server of
  its own.
Medians of the rounds are printed as Markdown. The client shares the cores with the server; the
images are the sample face, shifted each by another way: files of 9.0 kB at 128 px, where those of
FFHQ, Helen and CelebA have 7.1 to 7.9 on average.
"""

import argparse
import asyncio
import multiprocessing
import os
import platform
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle
from multiprocessing.connection import Connection

import numpy as np
from PIL import Image

from model_store.emotion.ecm import EcmSums
from model_store.image_tensor import RgbImage
from service.engine.loading import load_engine, open_store
from service.pair_sets import (
    Addition,
    MemoryPairSets,
    PairSetStore,
    RedisPairSets,
    SetClassifier,
    SetLimits,
)
from service.settings import Settings
from tests.bench.bench_service import Service, post_request
from tests.bench.sample_face import sample_face
from tests.redis_server import RedisServer, linked
from tests.service.support import as_file

_SIDE_PX = 128
_MAX_SHIFT_PX = 16
_NUM_UPSCALED = 32
_NUM_ADDITIONS = 300
_MILLION = 1_000_000
_DISTINCT_PAIRS = 5_000
_PAIRS_A_REQUEST = (1, 8)
_CLASSIFIER = SetClassifier(reference="bench@1", sha256="0" * 64)


class BareClassifier:
    """The engine's reading in a process of its own, asked for measurements."""

    def __init__(self, settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve_measurements, args=(theirs, settings))
        self._process.start()

    def seconds(self, images: Sequence[RgbImage]) -> float:
        """Time for all images in full batches."""
        self._connection.send(images)
        seconds: float = self._connection.recv()
        return seconds

    def close(self) -> None:
        self._connection.send(None)
        self._process.join()


def _serve_measurements(connection: Connection, settings: Settings) -> None:
    engine = load_engine(open_store(settings), settings)
    engine.warm_up()
    size = settings.max_batch_size
    while (images := connection.recv()) is not None:
        started_at = time.perf_counter()
        for start in range(0, len(images), size):
            engine.read_emotions(images[start : start + size])
        connection.send(time.perf_counter() - started_at)


async def _compare_rates(options: argparse.Namespace, settings: Settings) -> None:
    service, bare = Service(options.port), BareClassifier(settings)
    images = [_face(_SIDE_PX, seed=seed) for seed in range(2 * options.pairs)]
    requests = {count: _pair_requests(images, count) for count in _PAIRS_A_REQUEST}
    bare_rates: list[float] = []
    service_rates: dict[int, list[float]] = {count: [] for count in _PAIRS_A_REQUEST}
    upscaled: dict[tuple[int, str], list[float]] = {}
    try:
        await service.wait_until_ready()
        for _ in range(options.rounds):
            bare_rates.append(options.pairs / bare.seconds(images))
            for count, bodies in requests.items():
                under_way = max(2, settings.max_batch_size // count)
                rate = await _rate(service, bodies, under_way)
                service_rates[count].append(count * rate)
            for scale in (4, 8):
                for readout in ("none", "expression"):
                    rate = await _rate(
                        service, _upscalings(scale, readout), settings.max_batch_size
                    )
                    upscaled.setdefault((scale, readout), []).append(rate)
    finally:
        bare.close()
        service.close()
    theirs = statistics.median(bare_rates)
    print("\n| pairs a request | bare classifier | /v1/ecm | ratio |\n|---|---|---|---|")
    for count, rates in service_rates.items():
        ours = statistics.median(rates)
        print(f"| {count} | {theirs:.2f} pairs/s | {ours:.2f} pairs/s | {ours / theirs:.2f} |")
    print("\n| scale | without readout | with readout | ratio |\n|---|---|---|---|")
    for scale in (4, 8):
        without, with_it = (
            statistics.median(upscaled[scale, readout]) for readout in ("none", "expression")
        )
        print(
            f"| x{scale} | {without:.2f} faces/s | {with_it:.2f} faces/s "
            f"| {with_it / without:.2f} |"
        )


async def _rate(service: Service, requests: Sequence[bytes], num_connections: int) -> float:
    started_at = time.perf_counter()
    await service.measure(requests, num_connections=num_connections)
    return len(requests) / (time.perf_counter() - started_at)


def _pair_requests(images: Sequence[RgbImage], num_pairs: int) -> list[bytes]:
    """Requests that compare each image with the next, ``num_pairs`` pairs in each."""
    size = 2 * num_pairs
    return [_pair_request(images[at : at + size]) for at in range(0, len(images), size)]


def _pair_request(images: Sequence[RgbImage]) -> bytes:
    parts = [
        b'--bench\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n\r\n%s\r\n'
        % (name, as_file(image, "JPEG", quality=95))
        for name, image in zip(cycle((b"original", b"super_resolved")), images, strict=False)
    ]
    body = b"".join(parts) + b"--bench--\r\n"
    return post_request("/v1/ecm", body, content_type="multipart/form-data; boundary=bench")


def _upscalings(scale: int, readout: str) -> list[bytes]:
    side = _SIDE_PX // scale
    return [
        post_request(
            f"/v1/upscale?scale={scale}&readout={readout}",
            as_file(_face(side, seed=seed)),
            content_type="image/png",
        )
        for seed in range(_NUM_UPSCALED)
    ]


def _face(side_px: int, *, seed: int) -> RgbImage:
    shift = divmod(seed, _MAX_SHIFT_PX)
    face = Image.fromarray(np.roll(sample_face(), shift, axis=(0, 1)))
    return np.asarray(face.resize((side_px, side_px), Image.Resampling.BICUBIC))


async def _compare_sets() -> None:
    limits = SetLimits(max_sets=10_000, ttl_seconds=3600)
    server = RedisServer()
    server.start()
    print("\n| sets | adding to an empty one | to a million pairs | ratio |\n|---|---|---|---|")
    try:
        async with linked(server.url) as link:
            memory = MemoryPairSets(limits, clock=time.monotonic)
            for name, store in (("memory", memory), ("Redis", RedisPairSets(link, limits))):
                empty, million = await _seconds_of_additions(store)
                print(
                    f"| {name} | {1000 * empty:.3f} ms | {1000 * million:.3f} ms "
                    f"| {million / empty:.2f} |"
                )
    finally:
        server.stop()


async def _seconds_of_additions(store: PairSetStore) -> tuple[float, float]:
    """Medians: each addition to an empty set is that set's first."""
    one = Addition(classifier=_CLASSIFIER, sums=_sums_of(1), key=None)
    fields = _sums_of(_DISTINCT_PAIRS).to_fields()
    many = {field: value * (_MILLION // _DISTINCT_PAIRS) for field, value in fields.items()}
    million = EcmSums.from_fields(many, num_classes=7)
    assert million.n == _MILLION
    await store.add("bench", "million", Addition(classifier=_CLASSIFIER, sums=million, key=None))
    seconds: dict[str, list[float]] = {"empty": [], "million": []}
    for _ in range(_NUM_ADDITIONS):
        for kind in seconds:
            name = "million" if kind == "million" else uuid.uuid4().hex
            seconds[kind].append(await _timed(lambda name=name: store.add("bench", name, one)))
    return statistics.median(seconds["empty"]), statistics.median(seconds["million"])


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    started_at = time.perf_counter()
    await work()
    return time.perf_counter() - started_at


def _sums_of(count: int) -> EcmSums:
    rng = np.random.default_rng(count)
    concentration = np.full(7, 0.3)
    return EcmSums.of(rng.dirichlet(concentration, count), rng.dirichlet(concentration, count))


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=128, help="pairs in a round")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--model-root", help="other models than the published ones")
    options = parser.parse_args()
    if options.model_root:
        os.environ["AFFECTSR_MODEL_ROOT"] = options.model_root
    settings = Settings()
    print(
        f"`python -m tests.bench.bench_ecm --rounds {options.rounds} --pairs {options.pairs}`, "
        f"{os.cpu_count()} cores ({platform.machine()}), max_batch_size {settings.max_batch_size}, "
        f"{settings.emotion_model}:"
    )
    asyncio.run(_compare_sets())
    asyncio.run(_compare_rates(options, settings))


if __name__ == "__main__":
    main()
