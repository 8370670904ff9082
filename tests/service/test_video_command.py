"""`affectsr upscale` on a video."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from service.cli import main

pytest.importorskip("av", reason="needs PyAV, an extra: pip install '.[video]'")

from tests.service.video.clips import destroy_packets, read_frames, write_clip


@pytest.fixture(autouse=True)
def _no_optional_models(tiny_models: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECTSR_EMOTION_MODEL", "")
    monkeypatch.setenv("AFFECTSR_FACE_DETECTOR_MODEL", "")


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clip of a crop, eight frames, and the working directory beside it."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    write_clip(Path("clip.mp4"), [rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(8)])
    return Path("clip.mp4")


def upscale(*arguments: object) -> int:
    return main(["upscale", *map(str, arguments)])


def test_clip_of_a_face_is_upscaled_and_told(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert upscale(clip, "out.mkv") == 0
    assert capsys.readouterr() == ("out.mkv: 8 frames, 32x32 -> 128x128, 1 faces\n", "")
    assert read_frames(Path("out.mkv"))[0][7].shape == (128, 128, 3)


def test_corrupt_frames_are_a_warning(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    destroy_packets(clip, [6])
    assert upscale(clip, "out.mp4", "--scale", "8") == 0
    said = capsys.readouterr()
    (left,) = re.findall(r"^out\.mp4: (\d) frames", said.out)
    assert said.err == f"affectsr: warning: {8 - int(left)} corrupt frames were left out\n"
    assert 0 < int(left) < 8


def test_video_in_a_folder_is_only_replaced_when_told_to(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out").mkdir()
    assert upscale(clip, "out") == 0
    assert upscale(clip, "out") == 2
    assert "out/clip.mp4 would be replaced; give --overwrite" in capsys.readouterr().err
    assert upscale(clip, "out", "--overwrite") == 0


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["missing.mp4", "out.mp4"], 2, "missing.mp4 is no file; name a video to read"),
        (["clip.mp4", "clip.mp4"], 2, "clip.mp4 is the input; it would be overwritten"),
        (["clip.mp4", "out.avi"], 2, "out.avi names no video format that is written; end it in"),
        (["clip.mp4", "out.png"], 2, "out.png names no video format that is written; end it in"),
        (["clip.mp4", "nowhere/out.mp4"], 2, "nowhere is no folder; make it first"),
        (["clip.mp4", "clip.mp4", "out.mp4"], 2, "2 inputs, and a video among them"),
        (["clip.mp4", "out.mp4", "--workers", "2"], 2, "--workers means nothing for a video"),
        (["clip.mp4", "out.mp4", "--model", "esrgan"], 2, "served: affectsrnet-x4@1"),
        (["clip.mp4", "out.mp4", "--mode", "photo"], 2, "no face detector is loaded"),
        (["text.mp4", "out.mp4"], 1, "text.mp4 is no video file that can be read"),
    ],
)
def test_what_cannot_be_is_told(
    arguments: list[str],
    status: int,
    says: str,
    clip: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("text.mp4").write_text("no video", "utf-8")
    assert upscale(*arguments) == status
    assert says in capsys.readouterr().err
    assert not Path("out.mp4").exists()


def test_without_the_extra_the_remedy_is_told(
    clip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert upscale(clip, "out.mp4") == 2
    assert "pip install 'affectsr[video]'" in capsys.readouterr().err
