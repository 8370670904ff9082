"""The page under test: what a person does with it and sees on it, and what it must never do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, FilePayload, Locator, Page, Request, expect

from tests.service.support import as_file, plain

# Playwright's own limit is half a minute; a failing test should not wait for that long.
WAIT_MS = 15_000

_WATCH_POLICY = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI}`));
"""


class Studio:
    """One open page."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.requests: list[Request] = []
        self.complaints: list[str] = []

    # --- what a person does ---

    def give(self, *files: FilePayload | Path) -> None:
        """Choose files in the dialogue."""
        self.page.set_input_files("#files", list(files))

    def give_and_wait(self, *files: FilePayload | Path) -> None:
        self.give(*files)
        self.page.wait_for_selector(".stage[data-status=done]")

    # --- what a person sees ---

    @property
    def slider(self) -> Locator:
        return self.page.get_by_role("slider", name="Before and after")

    @property
    def share(self) -> int:
        """Where the divider is, in percent of the width."""
        return int(self.slider.get_attribute("aria-valuenow") or -1)

    @property
    def problem(self) -> Locator:
        return self.page.locator(".problem")

    @property
    def face(self) -> Locator:
        return self.page.get_by_role("article")

    @property
    def boxes(self) -> Locator:
        return self.page.get_by_role("group", name="Faces in the picture").get_by_role("button")

    @property
    def film(self) -> Locator:
        return self.page.get_by_role("list", name="Your pictures").get_by_role("button")

    # --- what went over the wire ---

    @property
    def upscale_queries(self) -> list[dict[str, list[str]]]:
        """The parameters of every request for an upscaled picture."""
        return [
            parse_qs(urlsplit(request.url).query)
            for request in self.requests
            if urlsplit(request.url).path == "/v1/upscale"
        ]


@contextmanager
def watched_page(browser: Browser, address: str, **options: object) -> Iterator[Studio]:
    """Opens the page; in the end nothing was asked of anybody else, and nothing went wrong."""
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(_WATCH_POLICY)
    page = context.new_page()
    studio = Studio(page, address)
    # Playwright marks its handlers, which a list's own method does not let it do.
    page.on("request", lambda request: studio.requests.append(request))  # noqa: PLW0108
    page.on("pageerror", lambda error: studio.complaints.append(str(error)))
    page.on("console", lambda message: studio.complaints.append(message.text))
    page.goto(address)
    expect(page.locator("#state")).not_to_have_attribute("data-tone", "unknown")
    yield studio
    asked = {request.url for request in studio.requests}
    context.close()
    assert [url for url in asked if not url.startswith((address, "blob:" + address))] == []
    # Chromium writes a line for every answer that is no success, which the tests ask for.
    assert [text for text in studio.complaints if "Failed to load resource" not in text] == []


def picture(level: int = 90, width: int = 24, height: int = 24, *, name: str = "") -> FilePayload:
    """A plain picture as a file, named for its level."""
    return {
        "name": name or f"{level}.png",
        "mimeType": "image/png",
        "buffer": as_file(plain(level, width, height)),
    }
