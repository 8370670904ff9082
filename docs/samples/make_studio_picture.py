"""Draw the README's picture of the web page: the sample face in it, upscaled.

Needs the requirements of the tests, Chromium, and a service that runs:

    .venv/bin/python docs/samples/make_studio_picture.py http://127.0.0.1:8000
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

TARGET = Path(__file__).resolve().parent.parent / "studio.png"
WINDOW = {"width": 1180, "height": 900}


def main(address: str) -> None:
    """Write docs/studio.png."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=WINDOW, reduced_motion="reduce")
        page.set_default_timeout(120_000)  # a machine may be busy
        page.goto(address)
        page.get_by_role("button", name="Try it with a sample face").click()
        page.get_by_alt_text("After: the result").wait_for()
        page.get_by_text("Ready", exact=True).wait_for()
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    # A third of the bytes, and no difference that is seen.
    picture.quantize(256, dither=Image.Dither.NONE).save(TARGET, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
