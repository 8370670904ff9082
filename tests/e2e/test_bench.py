"""`affectsr bench` against a service of its own."""

import json
from pathlib import Path

import pytest

from service import cli

pytestmark = pytest.mark.e2e


def test_bench_loads_a_stub_and_writes_what_it_saw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFECTSR_READOUT", "none")
    written = tmp_path / "report.json"
    load = ["--callers", "2", "--seconds", "0.5", "--warm-up", "0.1"]
    status = cli.main(["bench", "--stub", "1", "1", *load, "--json", str(written)])
    assert status == 0
    report = json.loads(written.read_text("utf-8"))
    assert set(report["statuses"]) == {"200"}
    assert report["goodput"] > 0
    assert report["load"]["callers"] == 2
    assert f"goodput {report['goodput']:.1f} /s" in capsys.readouterr().out


def test_service_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main(["bench", "http://127.0.0.1:9", "--rate", "50", "--seconds", "0.1"])
    assert status == 1
    assert "no request was answered with 200" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["https://host"], "give one as http://HOST:PORT"),
        (["host:80", "--rate", "0"], "--rate is 0; it must be above 0"),
        (["host:80", "--callers", "0"], "--callers is 0; it must be at least 1"),
        (["host:80", "--image", "no such file"], "no such file"),
        (["host:80", "--client-core", "4096"], "--client-core is 4096; this machine has"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", *arguments]) == 2
    assert says in capsys.readouterr().err
