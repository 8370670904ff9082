import json
import logging
import re

import pytest

from service.app import create_app
from service.logs import _JsonFormatter, _TextFormatter, request_id_of_context
from service.settings import Settings
from tests.fakes import NearestEngine
from tests.service.support import as_file, client_of, form_files, noise, post_image

pytestmark = pytest.mark.anyio


async def test_documentation_page_asks_nobody_else(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        sources = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text)
        assert len(sources) == 3
        for source in sources:
            assert source.startswith("./docs/static/")
            assert (await client.get(source.removeprefix("."))).status_code == 200
    assert "http" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'self';")


async def test_openapi_document_tells_all_of_upscale(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/v1/upscale"]["post"]
    assert set(operation["requestBody"]["content"]) == {
        "multipart/form-data", "image/jpeg", "image/png", "image/webp"
    }  # fmt: skip
    assert set(operation["responses"]["200"]["content"]) == {
        "image/jpeg", "image/png", "image/webp", "application/json", "application/zip"
    }  # fmt: skip
    assert set(operation["responses"]["429"]["content"]) == {"application/problem+json"}
    assert "HTTPValidationError" not in document["components"]["schemas"]
    references = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document))
    assert set(references) <= set(document["components"]["schemas"])
    assert {"UpscaleResult", "UpscaleBatch", "Problem"} <= set(references)


def test_telemetry_of_the_framework_is_off(settings: Settings, engine: NearestEngine) -> None:
    app = create_app(settings, engine=engine)
    assert not app._native_telemetry.enabled()


async def test_each_request_is_one_line_without_names_and_queries(
    settings: Settings, engine: NearestEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="service.middleware")
    async with client_of(settings, engine) as client:
        await client.post(
            "/v1/upscale?scale=4",
            files=[("image", ("anna-at-the-beach.png", as_file(noise())))],
            headers={"X-Request-ID": "the-first"},
        )
        await client.post("/v1/upscale?secret=query", files=form_files(b"text"))
        await client.get("/people/anna")
        await client.get("/livez")
    lines = [_JsonFormatter().format(record) for record in caplog.records]
    assert len(lines) == 3
    first, second, third = (json.loads(line) for line in lines)
    assert (first["route"], first["status"], first["method"]) == ("/v1/upscale", 200, "POST")
    assert first["duration_ms"] > 0
    assert (second["status"], second["problem"]) == (422, "unknown-parameter")
    assert (third["route"], third["status"]) == ("unmatched", 404)
    for line in lines:
        assert "anna" not in line
        assert "query" not in line.replace("unknown; known", "")


async def test_log_lines_inside_a_request_carry_its_id(
    settings: Settings, engine: NearestEngine
) -> None:
    seen: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(_JsonFormatter().format(record))

    logger, keeper = logging.getLogger("service.middleware"), Keeper()
    logger.addHandler(keeper)
    logger.setLevel(logging.INFO)
    try:
        async with client_of(settings, engine) as client:
            await post_image(client, as_file(noise()), x_request_id="abc")
    finally:
        logger.removeHandler(keeper)
        logger.setLevel(logging.NOTSET)
    assert json.loads(seen[0])["request_id"] == "abc"


def test_text_lines_are_for_reading() -> None:
    token = request_id_of_context.set("abc")
    record = logging.LogRecord("service", logging.INFO, "f", 1, "request", (), None)
    record.status = 200
    line = _TextFormatter().format(record)
    request_id_of_context.reset(token)
    assert re.fullmatch(r"\d\d:\d\d:\d\d info request request_id=abc status=200", line)
