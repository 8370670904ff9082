import importlib.util
from pathlib import Path

import pytest

from tests.training.data.fake_faces import draw_face, save
from training import __main__ as command


def test_an_empty_folder_is_an_error_that_says_what_is_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert command.main(["prepare", str(tmp_path / "empty"), str(tmp_path / "pack")]) == 1
    assert "no image (.bmp, .jpeg, .jpg, .png, .webp) under" in capsys.readouterr().err


def test_a_set_without_its_annotation_is_an_error_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "img_celeba" / "000001.jpg", draw_face(1))
    arguments = ["prepare", "--source", "celeba", str(tmp_path), str(tmp_path / "pack")]
    assert command.main(arguments) == 1
    assert "list_eval_partition.txt is missing under" in capsys.readouterr().err


def test_without_mediapipe_prepare_says_how_to_install_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert command.main(["prepare", str(tmp_path), str(tmp_path / "pack")]) == 1
    assert "prepare needs MediaPipe; install it: python3 run.py setup" in capsys.readouterr().err
