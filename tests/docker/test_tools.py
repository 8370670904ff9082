"""The two scripts that images run: the health check and the bill of materials."""

import http.server
import importlib.metadata
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from docker import healthcheck, sbom


class Liveness(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/livez" else 404)
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing to the test's stderr."""


class Dead(Liveness):
    status = 503


@pytest.fixture
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), request.param) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("port", [Liveness], indirect=True)
def test_live_service_is_healthy_whatever_proxy_is_set(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFECTSR_HTTP_PORT", str(port))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert healthcheck.main() == 0


@pytest.mark.parametrize("port", [Dead], indirect=True)
def test_service_that_answers_503_is_not(
    port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AFFECTSR_HTTP_PORT", str(port))

    assert healthcheck.main() == 1
    assert f"http://127.0.0.1:{port}/livez: HTTP Error 503" in capsys.readouterr().err


def test_service_that_does_not_listen_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AFFECTSR_HTTP_PORT", str(unused.getsockname()[1]))

        assert healthcheck.main() == 1
    assert "refused" in capsys.readouterr().err


def test_bill_of_materials_lists_what_is_installed_and_who_needs_it(tmp_path: Path) -> None:
    target = tmp_path / "sbom.cdx.json"

    assert sbom.main([str(target)]) == 0

    bill = json.loads(target.read_text("utf-8"))
    torch = f"pkg:pypi/torch@{importlib.metadata.version('torch')}"
    components = {one["bom-ref"]: one for one in bill["components"]}
    dependencies = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert components[torch]["name"] == "torch"
    assert dependencies.keys() == components.keys()
    ours = f"pkg:pypi/affectsr@{importlib.metadata.version('affectsr')}"
    assert torch in dependencies[ours]
    assert all(needed in components for needs in dependencies.values() for needed in needs)


def test_bill_of_materials_keeps_to_the_schema_of_cyclonedx(tmp_path: Path) -> None:
    target = tmp_path / "sbom.cdx.json"
    sbom.main([str(target)])

    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(target.read_text("utf-8"))

    assert error is None, error


def test_bill_of_materials_without_a_target_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert sbom.main([]) == 2
    assert "python docker/sbom.py sbom.cdx.json" in capsys.readouterr().err
