"""The engine that loads before there is an application."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.app import create_app
from service.early_engine import EarlyEngine
from service.settings import Settings
from tests.conftest import ROOT
from tests.service.support import as_file, noise, running
from tests.service.tiny_models import publish_tiny_models


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    publish_tiny_models(root)
    return root


def settings_of(models: Path) -> Settings:
    return Settings(
        model_root=models,
        models=("affectsrnet-x4",),
        engine="torch",
        engine_cache_dir=None,
        torch_num_threads=1,
    )


@pytest.mark.anyio
async def test_application_takes_the_engine_and_its_thread(models: Path) -> None:
    settings = settings_of(models)
    early = EarlyEngine(settings)
    async with running(create_app(settings, early=early)) as client:
        response = await client.post("/v1/upscale", files={"image": as_file(noise())})
        metrics = (await client.get("/metrics")).text
    assert response.status_code == 200
    assert early.result().models == []  # closed with the application
    # It began to load before the metrics were there, which are told of landmarks all the same.
    (found,) = (line for line in metrics.splitlines() if re.search('_count.*"landmarks"', line))
    assert float(found.split()[-1]) >= 1
    assert not early.thread.is_alive


@pytest.mark.anyio
async def test_what_kept_it_from_loading_is_told_when_the_application_starts(models: Path) -> None:
    settings = settings_of(models).model_copy(update={"models": ("affectsrnet-x9",)})
    early = EarlyEngine(settings)
    told: list[Exception] = []
    with pytest.raises(Exception, match="affectsrnet-x9"):
        async with running(create_app(settings, early=early, on_startup_failure=told.append)):
            pass
    assert ["affectsrnet-x9" in str(error) for error in told] == [True]
    assert not early.thread.is_alive


def test_nothing_of_the_framework_is_imported_for_it() -> None:
    script = "import service.early_engine, sys; print({'fastapi', 'uvicorn'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
