"""A new version of a model, and back again: replicas of both and one Redis that keeps results."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
import torch

from model_store.store import ModelStore
from tests.e2e.conftest import ServerProcess
from tests.published import publish_untrained
from tests.redis_server import RedisServer
from tests.service.support import URN, as_file, noise
from tests.service.tiny_models import publish_tiny_models, tiny_network

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NAME = "affectsrnet-x4"


@dataclass(frozen=True)
class Answer:
    """A result, and what its headers say of where it comes from."""

    model: str
    source: str
    image: bytes


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A volume with version 1 of every model."""
    return publish_tiny_models(tmp_path)


@pytest.fixture
def start(
    serve: Callable[..., ServerProcess], redis: RedisServer, tmp_path: Path
) -> Callable[[], str]:
    """Start a replica on the volume; gives its address."""

    def started() -> str:
        server = serve(
            model_root=tmp_path,
            models=NAME,
            cache="shared",
            redis_url=redis.url,
            redis_timeout_ms=5000,  # the tests share the machine with others
        )
        host, port = server.wait_for_address()
        return f"http://{host}:{port}"

    return started


def publish_another(store: ModelStore) -> None:
    """Publish version 2, which enlarges otherwise, and make it the default."""
    network = tiny_network(4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    publish_untrained(store, network, name=NAME)


def post(address: str, query: str = "") -> httpx.Response:
    """Ask a replica for always the same."""
    return httpx.post(
        f"{address}/v1/upscale{query}",
        content=as_file(noise()),
        headers={"Content-Type": "image/png", "Accept": "image/png"},
        timeout=30,
    )


def answer(address: str) -> Answer:
    reply = post(address)
    assert reply.status_code == 200, reply.text
    return Answer(
        model=reply.headers["X-AffectSR-Model"],
        source=reply.headers["X-AffectSR-Cache"],
        image=reply.content,
    )


def test_an_upgrade_and_its_undoing_never_mix_versions(
    store: ModelStore, start: Callable[[], str]
) -> None:
    before = start()
    first = answer(before)
    assert (first.model, first.source) == (f"{NAME}@1", "miss")

    publish_another(store)
    after = start()
    second = answer(after)
    assert (second.model, second.source) == (f"{NAME}@2", "miss")
    assert second.image != first.image
    # What runs keeps the version that it loaded.
    assert answer(before) == replace(first, source="hit")

    store.set_default(NAME, "1")
    undone = start()
    # A process that has kept nothing yet finds the first result in Redis, and not the second.
    assert answer(undone) == replace(first, source="hit")
    assert answer(after) == replace(second, source="hit")
    pinned = post(undone, f"?model={NAME}@2")
    assert (pinned.status_code, pinned.json()["type"]) == (404, f"{URN}unknown-model")
