import json
import re

import pytest

from service.app import create_app
from service.settings import Settings
from tests.fakes import NearestEngine
from tests.service.support import client_of

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
        "multipart/form-data", "image/jpeg", "image/png", "image/webp", "application/zip"
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
