import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.cli import main
from service.commands import models
from service.settings import Settings, settings_markdown
from tests.service.support import as_file, noise, plain

pytestmark = pytest.mark.usefixtures("tiny_models")


@pytest.fixture
def face(tmp_path: Path) -> Path:
    path = tmp_path / "face.png"
    path.write_bytes(as_file(noise(40, 48)))
    return path


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


# --- upscale ---


def test_upscale_writes_the_file_and_says_how(
    face: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = face.with_name("out.png")
    assert run("upscale", face, out) == 0
    assert opened(out).size == (107, 128)
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith(
        f"{out}: affectsrnet-x4@1, 40x48 -> 107x128, resampled to 32x32 first, "
        "landmarks: landmarker (confidence 0.95), "
    )
    assert said.out.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "form"), [("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP")]
)
def test_suffix_decides_the_format(name: str, form: str, face: Path) -> None:
    out = face.with_name(name)
    assert run("upscale", face, out) == 0
    assert opened(out).format == form


def test_scale_and_model_are_the_callers_choice(
    face: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("upscale", face, face.with_name("a.png"), "--scale", "8") == 0
    assert run("upscale", face, face.with_name("b.png"), "--model", "affectsrnet-x8@1") == 0
    assert capsys.readouterr().out.count("affectsrnet-x8@1") == 2


def test_several_go_into_a_folder_and_one_that_fails_stops_no_other(
    face: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(as_file(noise(), "JPEG")[:-200])
    other = tmp_path / "other.jpg"
    other.write_bytes(as_file(plain(5), "JPEG"))
    out = tmp_path / "out"
    out.mkdir()
    assert run("upscale", face, broken, other, out) == 1
    assert sorted(path.name for path in out.iterdir()) == [
        ".affectsr-journal",
        "face.png",
        "other.jpg",
    ]
    said = capsys.readouterr()
    assert said.err.startswith(f"affectsr: error: {broken}: the JPEG image of 32 x 32 px is broken")
    assert said.out.count("\n") == 2


def test_input_is_never_overwritten(face: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = face.read_bytes()
    assert run("upscale", face, face) == 2
    assert run("upscale", face, face.parent) == 2
    assert face.read_bytes() == before
    assert "is an input; it would be overwritten" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sources", "out", "says"),
    [
        (["missing.png"], "out.png", "missing.png is no file; name an image to read"),
        (["face.png"], "out.gif", "out.gif names no format; end it in .jpg, .jpeg, .png, .webp"),
        (["face.png"], "nowhere/out.png", "nowhere is no folder; make it first"),
        (["face.png", "face.png"], "out.png", "several images need a folder"),
        (["face.png", "sub/face.png"], "sub/out", "would both be written to face.png; rename"),
    ],
)
def test_wrong_paths_are_told_before_anything_is_loaded(
    sources: Sequence[str],
    out: str,
    says: str,
    face: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(face.parent)
    (face.parent / "sub" / "out").mkdir(parents=True)
    (face.parent / "sub" / "face.png").write_bytes(face.read_bytes())
    monkeypatch.setenv("AFFECTSR_MODEL_ROOT", "/nowhere")
    assert run("upscale", *sources, out) == 2
    assert says in capsys.readouterr().err


def test_unknown_model_is_told_what_is_served(
    face: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("upscale", face, face.with_name("out.png"), "--model", "esrgan") == 2
    assert "served: affectsrnet-x4@1, affectsrnet-x8@1" in capsys.readouterr().err
    assert not face.with_name("out.png").exists()


def test_models_that_are_not_there_are_one_line(
    face: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AFFECTSR_MODEL_ROOT", str(tmp_path / "empty"))
    assert run("upscale", face, face.with_name("out.png")) == 3
    said = capsys.readouterr()
    assert said.err == (
        "affectsr: error: AFFECTSR_MODELS names affectsrnet-x4, and there is no model "
        "'affectsrnet-x4'; published: none; name a published one, or set AFFECTSR_MODEL_ROOT to "
        "the folder that holds it\n"
    )


# --- the other commands ---


def test_models_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models") == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["MODEL", "DEFAULT", "KIND", "SCALE", "PARAMETERS", "MEASURED"]
    assert [row.split()[:4] for row in rows[:2]] == [
        ["affectsrnet-x4@1", "yes", "affectsrnet", "x4"],
        ["affectsrnet-x8@1", "yes", "affectsrnet", "x8"],
    ]
    assert rows[2].startswith("emotion-mobilefacenet@1")
    assert rows[3].startswith("face-detector@1")
    assert rows[4].startswith("landmarker@1")
    assert rows[0].endswith(" psnr_gain_db=1.25")


def test_ctrl_c_while_a_command_loads_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Settings) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "run", interrupted)
    assert main(["models"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "affectsr: error: stopped"


def test_settings_show_what_is_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFECTSR_HTTP_PORT", "9999")
    assert run("settings") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["AFFECTSR_HTTP_PORT", "9999"] for line in lines)


def test_settings_as_markdown_are_the_readmes_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("settings", "--markdown") == 0
    assert capsys.readouterr().out == settings_markdown()


def test_wrong_setting_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFECTSR_MAX_BATCH_SIZE", "0")
    assert run("models") == 2
    assert capsys.readouterr().err == (
        "affectsr: error: wrong settings: AFFECTSR_MAX_BATCH_SIZE=0: "
        "Input should be greater than or equal to 1\n"
    )


def test_misspelt_variable_is_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFECTSR_HTTP_PROT", "80")
    assert run("settings") == 0
    assert "warning: AFFECTSR_HTTP_PROT is set and means nothing" in capsys.readouterr().err


def test_alpha_of_the_input_is_kept(tmp_path: Path) -> None:
    source, out = tmp_path / "in.png", tmp_path / "out.png"
    source.write_bytes(as_file(Image.fromarray(np.dstack([plain(9), plain(40)[..., 0]]))))
    assert run("upscale", source, out) == 0
    assert (np.asarray(opened(out))[..., 3] == 40).all()


def test_serving_computes_no_numpy_product_on_several_cores() -> None:
    code = """
import sys, time, types, service.cli
def serve(settings, *, early):
    import numpy
    rows = numpy.ones((2000, 200))
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(10):
        rows @ rows.T
    return int(time.process_time() - processor > 1.2 * (time.perf_counter() - wall))
def load(settings):
    return types.SimpleNamespace(thread=types.SimpleNamespace(close=lambda: None))
sys.modules["service.early_engine"] = types.SimpleNamespace(EarlyEngine=load)
sys.modules["service.server"] = types.SimpleNamespace(serve=serve)
sys.exit(service.cli.main(["serve"]))
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_commands_that_need_no_model_load_no_torch() -> None:
    code = (
        "import sys; from service.cli import main; main(['settings']); "
        "sys.exit('torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert ended.returncode == 0
