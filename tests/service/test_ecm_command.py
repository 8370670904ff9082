"""`affectsr ecm` on folders of small images, read by a tiny classifier."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_store.emotion.classifier import EMOTIONS
from model_store.emotion.ecm import bootstrap_interval, emotion_consistency
from service.cli import main
from service.ecm_files import plan_pairs
from tests.published import publish_untrained
from tests.service.support import as_file, noise, plain
from tests.service.tiny_models import publish_tiny_models, tiny_landmarker

CLASSIFIER = ("--classifier", "emotion-mobilefacenet")

pytestmark = pytest.mark.usefixtures("tiny_models")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Six coarse originals, and the same smoothed: more pairs than the engine takes at once."""
    originals, results = tmp_path / "originals", tmp_path / "results"
    rng = np.random.default_rng(0)
    for folder in (originals, results):
        folder.mkdir()
    for index in range(10):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((64, 64), Image.Resampling.NEAREST).save(originals / f"face_{index}.png")
        coarse.resize((64, 64), Image.Resampling.BICUBIC).save(results / f"face_{index}.webp")
    return originals, results


def run(*arguments: object) -> int:
    return main(["ecm", *(str(argument) for argument in arguments)])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def probabilities(rows: list[dict[str, str]], side: str) -> np.ndarray:
    return np.array([[float(row[f"{side}_{name}"]) for name in EMOTIONS] for row in rows])


def test_the_metric_is_that_of_the_lines_that_are_written(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = tmp_path / "pairs.csv"
    assert run(*folders, *CLASSIFIER, "--csv", lines, "--worst", "3") == 0
    said = capsys.readouterr()
    assert said.err == ""
    rows = rows_of(lines)
    assert [row["name"] for row in rows] == [f"face_{index}" for index in range(10)]
    sides = [probabilities(rows, side) for side in ("original", "super_resolved")]
    result, interval = emotion_consistency(*sides), bootstrap_interval(*sides)
    assert interval is not None
    head = said.out.splitlines()[0]
    assert head == (
        f"ECM {result.ecm:.3f} [{interval.low:.3f}, {interval.high:.3f}], over 10 pairs; "
        "lower is better"
    )
    agreeing = [row["original_expression"] == row["super_resolved_expression"] for row in rows]
    assert [row["top1_agrees"] == "true" for row in rows] == agreeing
    assert f"{np.mean(agreeing):.1%} keep the likeliest expression" in said.out
    assert "read by emotion-mobilefacenet@1, sha256 " in said.out


def test_expressions_and_the_worst_pairs_are_listed(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = tmp_path / "pairs.csv"
    assert run(*folders, *CLASSIFIER, "--csv", lines, "--worst", "3") == 0
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = rows_of(lines)
    for name in EMOTIONS:
        (row,) = [line for line in printed if line[:1] == [name]]
        of_class = [r for r in rows if r["original_expression"] == name]
        assert row[1] == str(len(of_class))
        if of_class:
            kept = np.mean([r["top1_agrees"] == "true" for r in of_class])
            assert row[2] == f"{kept:.1%}"
    worst = sorted(rows, key=lambda row: -float(row["jensen_shannon"]))[:3]
    shown = [line for line in printed if line and line[0].startswith("face_")]
    assert [line[0] for line in shown] == [row["name"] for row in worst]


def test_what_cannot_be_compared_is_named_and_the_rest_is_compared(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    originals, results = folders
    (originals / "alone.png").write_bytes(as_file(noise()))
    (results / "face_0.png").write_bytes(as_file(noise()))
    (results / "face_1.webp").write_bytes(as_file(noise(), "WEBP")[:-40])
    (originals / "face_2.png").write_bytes(as_file(plain(5))[:20])
    (results / "notes.txt").write_text("no image")
    lines = tmp_path / "pairs.csv"
    assert run(*folders, *CLASSIFIER, "--csv", lines) == 1
    said = capsys.readouterr()
    assert "over 7 pairs" in said.out
    assert f"left out: alone: is not in {results}" in said.err
    assert "left out: face_0: is in " in said.err
    assert "2 times (face_0.png, face_0.webp)" in said.err
    assert "left out: face_1: result: the WEBP image of 32 x 32 px is broken" in said.err
    assert "left out: face_2: original: the image ends after 20 bytes" in said.err
    assert said.err.endswith("affectsr: error: 4 of 11 names were left out\n")
    problems = {row["name"]: row["problem"] for row in rows_of(lines)}
    assert len(problems) == 11
    assert sorted(name for name, problem in problems.items() if problem) == [
        "alone",
        "face_0",
        "face_1",
        "face_2",
    ]


@pytest.mark.parametrize(
    ("logit", "status", "says"),
    [(-1.0, 0, "10 pairs aligned by the mean face"), (-9.0, 1, "original: no face was found")],
)
def test_a_face_that_is_unsure_is_said_and_none_is_left_out(
    logit: float,
    status: int,
    says: str,
    folders: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = publish_tiny_models(tmp_path / "unsure")
    publish_untrained(store, tiny_landmarker(confidence_logit=logit), name="landmarker")
    monkeypatch.setenv("AFFECTSR_MODEL_ROOT", str(tmp_path / "unsure"))
    lines = tmp_path / "pairs.csv"
    assert run(*folders, *CLASSIFIER, "--csv", lines) == status
    said = capsys.readouterr()
    assert says in said.out + said.err
    rows = rows_of(lines)
    assert {row["landmark_distance"] for row in rows} == {""}
    if status:
        assert said.out == ""
        assert "10 of 10 names were left out" in said.err


def test_a_folder_beside_its_copy_has_no_metric(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    originals, _ = folders
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in originals.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert run(originals, copy, *CLASSIFIER) == 0
    said = capsys.readouterr().out
    assert said.startswith("ECM is undefined: both sides of every pair have the same entropy")
    assert "100.0% keep the likeliest expression" in said


def test_resamples_without_a_metric_are_said(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    originals, results = folders
    for index in range(1, 10):  # all but one of the results are their originals
        (results / f"face_{index}.webp").unlink()
        (results / f"face_{index}.png").write_bytes((originals / f"face_{index}.png").read_bytes())
    assert run(*folders, *CLASSIFIER) == 0
    said = re.search(r"(\d+) of 2000 resamples had no metric; left out", capsys.readouterr().out)
    assert said is not None
    assert int(said[1]) / 2000 == pytest.approx(0.9**10, abs=0.04)


def test_wrong_folders_are_told_before_anything_is_loaded(
    folders: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    originals, results = folders
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("AFFECTSR_MODEL_ROOT", "/nowhere")
    for arguments, says in (
        ((originals, tmp_path / "gone"), "gone is no folder; name the folder of the results"),
        ((tmp_path / "gone", results), "gone is no folder; name the folder of the originals"),
        ((originals, originals), "is both folders"),
        ((originals, empty), "(10 images) and"),
        ((originals, results, "--csv", tmp_path), "is no file to write"),
        ((originals, results, "--csv", tmp_path / "gone" / "a.csv"), "is no file to write"),
    ):
        assert run(*arguments, *CLASSIFIER) == 2
        assert says in capsys.readouterr().err


def test_somebody_has_to_read_the_expressions(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*folders, "--classifier", "") == 2
    assert "no expression classifier" in capsys.readouterr().err
    assert run(*folders, "--classifier", "affectsrnet-x4") == 3
    assert "name an expression classifier" in capsys.readouterr().err
    assert run(*folders, "--classifier", "gone") == 3
    assert "there is no model 'gone'" in capsys.readouterr().err


def test_names_are_paired_whatever_their_suffix_and_order(folders: tuple[Path, Path]) -> None:
    plan = plan_pairs(*folders)
    assert [pair.name for pair in plan.pairs] == sorted(f"face_{i}" for i in range(10))
    assert {pair.original.suffix for pair in plan.pairs} == {".png"}
    assert {pair.super_resolved.suffix for pair in plan.pairs} == {".webp"}
    assert plan.left_out == ()
