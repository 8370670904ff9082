"""Chromium, and the page of a service that runs in a thread of this process."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, sync_playwright

from service.engine.base import Engine
from service.settings import Settings
from tests.fakes import NearestEngine, emotion_reading, served_classifier
from tests.service.studio.serving import served
from tests.service.studio.studio import Studio, watched_page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# As root Chromium has no sandbox; the rest keeps it from calling its maker.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

OpenStudio = Callable[..., Studio]


# A module's, no session's: while Playwright's loop runs, no other test can start one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def engine() -> NearestEngine:
    """Repeats pixels; reads "happy" in everything."""
    engine = NearestEngine(classifier=served_classifier())
    engine.emotion_of = lambda image: emotion_reading(0.125, 0.75, 0.0625, 0.0625)
    return engine


@pytest.fixture
def settings() -> Settings:
    return Settings(codec_threads=1)


@pytest.fixture
def open_studio(
    browser: Browser, settings: Settings, engine: NearestEngine
) -> Iterator[OpenStudio]:
    """Opens the page of a service; options are those of Playwright's `new_context`."""
    with ExitStack() as stack:

        def open_it(
            settings: Settings = settings, engine: Engine | None = engine, **options: object
        ) -> Studio:
            address = stack.enter_context(served(settings, engine))
            return stack.enter_context(watched_page(browser, address, **options))

        yield open_it


@pytest.fixture
def studio(open_studio: OpenStudio) -> Studio:
    """The page of a service with the fixtures' settings and engine, in a window for a desk."""
    return open_studio()
