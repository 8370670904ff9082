"""Fixtures that every test folder may use."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.redis_server import RedisServer

# Before torch is imported. The networks here are tiny: a second thread waits at barriers for longer
# than it computes, and far longer on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of faces that some tests measure on; it is no part of the repository.

    `AFFECTSR_DATA` names it; a folder `shared/data` beside the checkout is found by itself.
    """
    named = os.environ.get("AFFECTSR_DATA")
    root = Path(named) if named else ROOT.parent / "shared" / "data"
    if root.is_dir():
        return root
    if named:
        pytest.fail(f"AFFECTSR_DATA is {named}, which is no folder; name one or unset it")
    pytest.skip("needs faces that are not in the repository; name their folder in AFFECTSR_DATA")


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of the sample face: face_16px.png, face_32px.png, face_128px.png."""
    return ROOT / "docs" / "samples"


@pytest.fixture(scope="session")
def tiny_model_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of tiny untrained networks, to read from."""
    from tests.service.tiny_models import publish_tiny_models  # imports torch

    root = tmp_path_factory.mktemp("models")
    publish_tiny_models(root)
    return root


@pytest.fixture
def redis() -> Iterator["RedisServer"]:
    """A running redis-server of the test's own."""
    from tests.redis_server import RedisServer

    server = RedisServer()
    server.start()
    yield server
    server.stop()
