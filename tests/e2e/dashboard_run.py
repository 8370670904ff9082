"""A few minutes in the life of two replicas, drawn as the dashboard shows them.

    python -m tests.e2e.dashboard_run dashboard.png [--seconds 180]

Starts two replicas with the published models, haproxy, Redis and Prometheus. Callers send faces,
some of them again and again, pictures without a face, photos, pairs to compare, bad bytes and
requests with too little time; a replica is restarted, there is a rush, and Redis goes away for a
while; then docker/monitoring/render.py draws every panel. Needs haproxy, prometheus and
redis-server on the PATH.
"""

import argparse
import contextlib
import itertools
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from docker.monitoring.render import Window, draw_dashboard
from tests.conftest import ROOT
from tests.e2e.conftest import ServerProcess
from tests.e2e.daemons import Callers, Proxy, Send, free_port, prometheus, upscale
from tests.redis_server import RedisServer
from tests.service.support import as_file, form_files, noise

_FACE = Image.open(ROOT / "docs/samples/face_128px.png").convert("RGB")
_PNG = {"Content-Type": "image/png"}


class Replicas:
    """The servers by number; one that is restarted keeps its port."""

    def __init__(self, number: int, redis_url: str) -> None:
        self._redis_url = redis_url
        self.ports = [free_port() for _ in range(number)]
        self._servers = [self._start(port) for port in self.ports]

    def wait_for_addresses(self) -> None:
        for server in self._servers:
            server.wait_for_address()

    def restart(self, number: int) -> None:
        self._servers[number].signal(signal.SIGTERM)
        self._servers[number].wait()
        self._servers[number] = self._start(self.ports[number])
        self._servers[number].wait_for_address()

    def kill(self) -> None:
        for server in self._servers:
            server.kill()

    def _start(self, port: int) -> ServerProcess:
        settings = {
            "redis_url": self._redis_url,
            "cache": "shared",
            "torch_num_threads": 1,
            "codec_threads": 1,
            "queue_capacity": 33,  # two photos at once
            "drain_delay_seconds": 2,
        }
        return ServerProcess(["service", "serve", "--port", str(port)], settings)


# --- what callers send ----------------------------------------------------------------------------


def faces() -> Send:
    """The sample face, turned a little and cut to sizes of its own; one of three is an old one."""
    numbers = itertools.count()

    def send(client: httpx.Client) -> httpx.Response:
        number = next(numbers)
        return upscale(as_file(_turned(number if number % 3 else 0)))(client)

    return send


def _turned(number: int) -> Image.Image:
    side_px = 16 + number % 17
    turned = _FACE.rotate(number % 41 - 20 + number / 1000, Image.Resampling.BICUBIC)
    return turned.crop((8, 8, 120, 120)).resize((side_px, side_px), Image.Resampling.BICUBIC)


def faceless(client: httpx.Client) -> httpx.Response:
    seed = time.monotonic_ns()
    return upscale(as_file(noise(seed=seed)))(client)


def photo(client: httpx.Client) -> httpx.Response:
    """A smooth picture with two faces, for x4 and for x8, past what is kept."""
    coarse = np.random.default_rng(0).integers(70, 180, (5, 7, 3), dtype=np.uint8)
    scene = Image.fromarray(coarse).resize((240, 140), Image.Resampling.BICUBIC)
    for x, y, side_px in ((50, 50, 20), (150, 50, 38)):
        scene.paste(_FACE.resize((side_px, side_px), Image.Resampling.BICUBIC), (x, y))
    headers = {**_PNG, "Cache-Control": "no-store"}
    return client.post("/v1/upscale?mode=photo", content=as_file(scene), headers=headers)


def pairs() -> Send:
    """A face and a coarser copy of it, added to a running set."""
    numbers = itertools.count()

    def send(client: httpx.Client) -> httpx.Response:
        face = _turned(16 + next(numbers))
        ((_, original),) = form_files(as_file(_FACE))
        ((_, copy),) = form_files(as_file(face))
        files = [("original", original), ("super_resolved", copy)]
        return client.post("/v1/ecm?set=nightly", files=files)

    return send


def wrong() -> Send:
    """What is refused: bad bytes, a form that nothing can have, and too little time."""
    bodies = itertools.cycle(
        (
            (b"not an image", {}),
            (as_file(noise())[:60], {}),
            (as_file(noise(seed=1)), {"Accept": "text/html"}),
            (as_file(noise(seed=2)), {"X-Request-Timeout-Ms": "1", "Cache-Control": "no-store"}),
        )
    )

    def send(client: httpx.Client) -> httpx.Response:
        body, headers = next(bodies)
        time.sleep(0.1)
        return client.post("/v1/upscale", content=body, headers={**_PNG, **headers})

    return send


# --- what happens ---------------------------------------------------------------------------------


class Life:
    """What befalls the replicas, in four quarters, and what callers were answered."""

    def __init__(self, address: str, replicas: Replicas, redis: RedisServer) -> None:
        self.answers: Counter[int] = Counter()
        self._address = address
        self._replicas = replicas
        self._redis = redis

    def run(self, quarter_seconds: float) -> None:
        with self._calling(faces(), number=2), self._calling(pairs(), number=1):
            with self._calling(faceless, number=1), self._calling(photo, number=1):
                time.sleep(quarter_seconds)
            with self._calling(wrong(), number=2):
                self._replicas.restart(0)
                time.sleep(quarter_seconds)
            with self._calling(faces(), number=80):
                time.sleep(quarter_seconds)
            self._redis.stop()
            time.sleep(quarter_seconds / 2)
            self._redis.start()
            time.sleep(quarter_seconds / 2)

    @contextlib.contextmanager
    def _calling(self, send: Send, *, number: int) -> Iterator[None]:
        callers = Callers(self._address, send, number=number, most=10**9)
        with callers.calling():
            yield
        self.answers += callers.answers


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path, help="PNG to write")
    parser.add_argument("--seconds", type=float, default=180)
    options = parser.parse_args()
    redis = RedisServer()
    redis.start()
    replicas = Replicas(2, redis.url)
    try:
        replicas.wait_for_addresses()
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            address = stack.enter_context(Proxy(replicas.ports).running(folder))
            observer = stack.enter_context(prometheus(folder, replicas.ports))
            life = Life(address, replicas, redis)
            began_at = time.time()
            life.run(options.seconds / 4)
            empty = draw_dashboard(observer, options.out, Window(began_at, time.time()))
    finally:
        replicas.kill()
        redis.stop()
    print(f"answers by status: {dict(sorted(life.answers.items()))}")
    print(f"{options.out}; without data: {', '.join(empty) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
