"""The OpenAPI document is the committed one, and the service keeps to it, whoever calls.

schemathesis makes dozens of requests for each operation, valid and invalid by the document, and
sends them to the whole application. A status, content type, header or body that the document does
not tell is a failure, and so is a 5xx but 504.
"""

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS
from schemathesis.config import ChecksConfig, NotAServerErrorConfig, ProjectConfig, ProjectsConfig
from schemathesis.transport.serialization import serialize_binary

from service import cli
from service.app import create_app
from service.settings import Settings
from tests.conftest import ROOT
from tests.fakes import NearestEngine, served_classifier
from tests.service.support import as_file, noise
from tests.service.test_archives import packed

DOCUMENT = ROOT / "docs/openapi.json"
API = schemathesis.openapi.from_path(
    DOCUMENT,
    config=schemathesis.Config(
        projects=ProjectsConfig(
            default=ProjectConfig(
                checks=ChecksConfig(
                    # A deadline of 1 ms is valid, and 504 what becomes of it.
                    not_a_server_error=NotAServerErrorConfig(
                        expected_statuses=["2xx", "3xx", "4xx", "504"]
                    )
                )
            )
        )
    ),
)
# What JSON Schema cannot tell: which bytes are an image, that a parameter given in query and form
# must be the same, that there are as many originals as results.
BEYOND_SCHEMA = {"/v1/upscale", "/v1/ecm"}
# A header that nobody knows is passed over, as HTTP has it, and not refused as a field would be.
UNKNOWN_HEADER = "x-schemathesis-unknown-property"

FILES = [as_file(noise(16, 16), form) for form in ("PNG", "JPEG", "WEBP")]
FILES.append(packed({"a.png": FILES[0], "b/c.jpg": FILES[1]}))
schemathesis.openapi.format("binary", st.sampled_from(FILES) | st.binary(max_size=64))


@schemathesis.serializer("application/zip")
def as_it_is(context: schemathesis.SerializationContext, value: object) -> bytes:
    return serialize_binary(value)


# The same in each run; a changed interface is worth running more.
few = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def app() -> FastAPI:
    return create_app(
        Settings(codec_threads=1), engine=NearestEngine(classifier=served_classifier())
    )


def call(
    case: schemathesis.Case,
    app: FastAPI,
    *,
    is_beyond_schema: bool,
    headers: dict[str, str] | None = None,
) -> None:
    excluded = []
    if is_beyond_schema:
        excluded.append(CHECKS.get_one("positive_data_acceptance"))
    if UNKNOWN_HEADER in (case.headers or {}):
        excluded.append(CHECKS.get_one("negative_data_rejection"))
    case.call_and_validate(app=app, headers=headers, excluded_checks=excluded)


def test_document_is_the_committed_one(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["openapi"])

    remedy = "run `affectsr openapi > docs/openapi.json` and commit it, if the change is wanted"
    assert capsys.readouterr().out == DOCUMENT.read_text("utf-8"), remedy


@API.parametrize()
@few
def test_every_answer_is_one_that_the_document_tells(case: schemathesis.Case, app: FastAPI) -> None:
    call(case, app, is_beyond_schema=case.path in BEYOND_SCHEMA)


@pytest.mark.parametrize("accept", ["application/json", "application/zip"])
@API.include(path="/v1/upscale").parametrize()
@few
def test_result_of_every_form_is_one_that_the_document_tells(
    case: schemathesis.Case, app: FastAPI, accept: str
) -> None:
    call(case, app, is_beyond_schema=True, headers={"Accept": accept})
