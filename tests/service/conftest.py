"""Fixtures of the service's tests: settings, a stand-in engine, an application to talk to."""

import os
from pathlib import Path

import pytest

from service.settings import Settings
from tests.fakes import ManualClock, NearestEngine


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("AFFECTSR_"):
            monkeypatch.delenv(name)
    # Converting models takes seconds; tests of OpenVINO ask for it.
    monkeypatch.setenv("AFFECTSR_ENGINE", "torch")


@pytest.fixture
def tiny_models(tiny_model_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands load tiny networks, on one thread."""
    monkeypatch.setenv("AFFECTSR_MODEL_ROOT", str(tiny_model_root))
    monkeypatch.setenv("AFFECTSR_TORCH_NUM_THREADS", "1")


@pytest.fixture
def settings() -> Settings:
    return Settings(codec_threads=2)


@pytest.fixture
def engine() -> NearestEngine:
    return NearestEngine()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
