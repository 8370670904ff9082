"""How long a person waits for the web page and for its first result, on this machine.

    python -m tests.bench.bench_studio [--rounds 10]

A service with the published models in this process, Chromium beside it. In each round the page is
opened in an empty browser context, the sample face is upscaled by a click, and the same face is
posted without a page. Medians are printed as Markdown.
"""

import argparse
import shutil
import statistics
import time
from dataclasses import dataclass, field

import httpx
from playwright.sync_api import Browser, sync_playwright

from service.routes.studio import read_studio_files
from service.settings import Settings
from tests.service.studio.serving import served


@dataclass
class Samples:
    """Milliseconds, one of each kind a round."""

    opened: list[float] = field(default_factory=list)
    result: list[float] = field(default_factory=list)
    bare_request: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    samples = Samples()
    with served(Settings(), None) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for _ in range(rounds):
            _measure_page(browser, address, samples)
            _measure_request(address, samples)
        browser.close()
    kinds = (samples.opened, samples.result, samples.bare_request)
    print("| page opened | first result | the same request by itself |\n|---|---|---|")
    print(f"| {' | '.join(f'{statistics.median(kind):.0f} ms' for kind in kinds)} |")


def _measure_page(browser: Browser, address: str, samples: Samples) -> None:
    page = browser.new_page()
    started_at = time.perf_counter()
    page.goto(address)
    page.get_by_text("Ready", exact=True).wait_for()
    samples.opened.append((time.perf_counter() - started_at) * 1000)
    started_at = time.perf_counter()
    page.get_by_role("button", name="Try it with a sample face").click()
    page.get_by_alt_text("After: the result").wait_for()
    samples.result.append((time.perf_counter() - started_at) * 1000)
    page.close()


def _measure_request(address: str, samples: Samples) -> None:
    started_at = time.perf_counter()
    httpx.post(
        address + "v1/upscale",
        content=read_studio_files()["sample.png"].body,
        headers={"Content-Type": "image/png", "Accept": "application/json"},
        timeout=60,
    ).raise_for_status()
    samples.bare_request.append((time.perf_counter() - started_at) * 1000)


if __name__ == "__main__":
    main()
