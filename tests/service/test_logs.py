import json
import logging
import re
from collections.abc import Iterator

import pytest

from service.logs import current_request_id, json_formatter, request_context, text_formatter
from service.settings import Settings
from tests.fakes import NearestEngine
from tests.service.support import as_file, client_of, form_files, noise, post_image

pytestmark = pytest.mark.anyio

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Keeper(logging.Handler):
    """Keeps the lines as they would be written, with what belongs to the running request."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(json_formatter())
        self.lines: list[dict[str, object]] = []
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        self.text += line + "\n"
        self.lines.append(json.loads(line))


@pytest.fixture
def kept() -> Iterator[Keeper]:
    logger, keeper = logging.getLogger("service.middleware"), Keeper()
    was_disabled = logger.disabled
    logger.disabled = False
    logger.addHandler(keeper)
    logger.setLevel(logging.INFO)
    yield keeper
    logger.removeHandler(keeper)
    logger.setLevel(logging.NOTSET)
    logger.disabled = was_disabled


async def test_each_request_is_one_line_without_names_and_queries(
    settings: Settings, engine: NearestEngine, kept: Keeper
) -> None:
    async with client_of(settings, engine) as client:
        await client.post(
            "/v1/upscale?scale=4",
            files=[("image", ("anna-at-the-beach.png", as_file(noise())))],
            headers={"X-Request-ID": "the-first"},
        )
        await client.post("/v1/upscale?secret=query", files=form_files(b"text"))
        await client.get("/people/anna")
        await client.get("/livez")
    first, second, third = kept.lines
    assert (first["route"], first["status"], first["method"]) == ("/v1/upscale", 200, "POST")
    assert (first["request_id"], first["message"]) == ("the-first", "request")
    assert float(str(first["duration_ms"])) > 0
    assert (second["status"], second["problem"]) == (422, "unknown-parameter")
    assert (third["route"], third["status"]) == ("unmatched", 404)
    assert "anna" not in kept.text
    assert "secret" not in kept.text


async def test_line_carries_the_trace_that_the_caller_began(
    settings: Settings, engine: NearestEngine, kept: Keeper
) -> None:
    async with client_of(settings, engine) as client:
        await post_image(client, as_file(noise()), traceparent=f"00-{TRACE}-{PARENT}-01")
    assert (kept.lines[0]["trace_id"], kept.lines[0]["parent_id"]) == (TRACE, PARENT)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "anything",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
    ],
)
def test_header_that_is_no_trace_is_not_written(header: str) -> None:
    record = logging.LogRecord("service", logging.INFO, "f", 1, "a line", (), None)
    with request_context("abc", traceparent=header):
        line = json.loads(json_formatter().format(record))
    assert line["request_id"] == "abc"
    assert set(line) == {"request_id", "level", "time", "logger", "message"}


def test_id_belongs_to_its_request_alone() -> None:
    with request_context("abc", traceparent=""):
        assert current_request_id() == "abc"
    assert current_request_id() == ""


def test_fields_that_nobody_named_are_not_written() -> None:
    record = logging.LogRecord("service", logging.INFO, "f", 1, "a line", (), None)
    record.filename_of_upload = "anna.png"
    assert "anna" not in json_formatter().format(record)


def test_exception_stands_in_the_line() -> None:
    try:
        raise ValueError("a reason")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("service", logging.ERROR, "f", 1, "it failed", (), info)
    line = json.loads(json_formatter().format(record))
    assert line["exception"].endswith("ValueError: a reason")
    assert text_formatter().format(record).splitlines()[-1] == "ValueError: a reason"


def test_text_lines_are_for_reading() -> None:
    record = logging.LogRecord("service", logging.INFO, "f", 1, "request", (), None)
    record.status = 200
    with request_context("abc", traceparent=""):
        line = text_formatter().format(record)
    assert re.fullmatch(r"\d\d:\d\d:\d\d info request request_id=abc status=200", line)
