"""A tiny study from its file to its tables."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from model_store.store import ModelStore
from tests.published import publish_untrained
from tests.training.conftest import MakePack
from training.__main__ import main
from training.checkpoint import LAST_NAME, load_checkpoint, save_checkpoint
from training.errors import TrainingError
from training.study.report import ReportOptions, report_study
from training.study.runs import FINISHED_NAME

BASE = """
name = "base"
max_steps = 2
batch_size = 2
validate_every = 2
precision = "float32"
[data]
packs = ["faces"]
[task]
kind = "super_resolution"
[task.network]
scale = 8
"""
SIZES = """[
    "task.network.num_features=8",
    "task.network.growth_channels=4",
    "task.network.num_blocks=1",
    "task.network.graph_map_channels=8",
    "task.network.landmark_fusion={fused}",
]"""
STUDY = f"""
title = "Tiny <study>"
tests = ["my_celeba"]
scales = [8]
[[rows]]
label = "SRCNN"
method = "SRCNN"
config = "base.toml"
set = ["task.network.architecture=srcnn"]
[[rows]]
label = "Ours"
method = "AffectSRNet"
component = "RRDB + Instance Norm + MSAF + GCN"
config = "base.toml"
set = {SIZES.replace("{fused}", "true")}
landmarks = ["lr", "mean"]
[[rows]]
label = "Plain & simple"
component = "RRDB + Instance Norm"
config = "base.toml"
set = {SIZES.replace("{fused}", "false")}
[[rows]]
label = "Plain, tuned"
config = "base.toml"
init = "row:Plain & simple"
set = {SIZES.replace("{fused}", "false")}
"""


pytestmark = pytest.mark.usefixtures("without_mediapipe")


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    torch.manual_seed(0)
    store = ModelStore(tmp_path / "store")
    sizes = LandmarkerConfig(widths=(4, 4, 4, 4), blocks=(1, 1, 1, 1), num_coefficients=3)
    publish_untrained(store, Landmarker(sizes), name="landmarker")
    return store


@pytest.fixture
def asked(make_pack: MakePack, tmp_path: Path) -> ReportOptions:
    make_pack("my_celeba", faces=4, validation=0)
    (tmp_path / "base.toml").write_text(BASE)
    (tmp_path / "tiny.toml").write_text(STUDY)
    return ReportOptions(
        study=tmp_path / "tiny.toml",
        packs=make_pack(),
        runs=tmp_path / "runs",
        out=None,
        is_training=True,
        max_faces=None,
        feature_weights=None,
        device="cpu",
    )


def changed(options: ReportOptions, **values: bool) -> ReportOptions:
    return ReportOptions(**{**vars(options), **values})


def test_a_study_is_trained_measured_and_written_down(
    asked: ReportOptions, store: ModelStore
) -> None:
    said: list[str] = []
    text = report_study(asked, store=store, notify=said.append)
    assert text.startswith("Tiny <study>\n\nTABLE II, x8, beside arXiv:2502.09932")
    assert "TABLE III, x8" in text
    assert re.search(r"CelebA \(n=4\) +PSNR +ours +\d+\.\d\d +\d+\.\d\d +- ", text)
    assert "paper's gain" in text
    assert "LANDMARK CONTROLS" in text
    assert "x8 Ours [landmarks: mean]" in text
    assert "Note: LPIPS was not measured" in text
    assert "minutes of training" in text
    tuned = next(line for line in text.splitlines() if "Plain, tuned: Plain, tuned" in line)
    assert tuned.endswith("faces seen, from tiny-plain-simple-x8/best.pt")
    assert said[0] == "[1/4] training SRCNN at x8"

    document = json.loads((asked.runs / "tiny" / "report.json").read_text())
    assert [m["title"] for m in document["models"]] == [
        "bicubic",
        "SRCNN",
        "Ours",
        "Ours [landmarks: mean]",
        "Plain & simple",
        "Plain, tuned",
    ]
    page = (asked.runs / "tiny" / "report.html").read_text()
    assert "<title>Tiny &lt;study&gt;</title>" in page
    assert "Plain &amp; simple" in page


def test_a_trained_study_is_not_trained_again(asked: ReportOptions, store: ModelStore) -> None:
    report_study(asked, store=store, notify=lambda line: None)
    best = asked.runs / "tiny-ours-x8" / "best.pt"
    written = best.stat().st_mtime_ns
    said: list[str] = []
    report_study(asked, store=store, notify=said.append)
    assert best.stat().st_mtime_ns == written
    assert not [line for line in said if "training" in line]


def test_last_weights_are_measured_where_the_study_says_so(
    asked: ReportOptions, store: ModelStore
) -> None:
    report_study(asked, store=store, notify=lambda line: None)
    # Without weights nothing is left but the bicubic skip, which is better than a few steps.
    last = load_checkpoint(asked.runs / "tiny-plain-simple-x8" / LAST_NAME)
    empty = {name: torch.zeros_like(value) for name, value in last.ema.items()}
    save_checkpoint(asked.runs / "tiny-plain-simple-x8" / LAST_NAME, replace(last, ema=empty))
    best = measured_psnr(asked, "Plain & simple")
    asked.study.write_text('weights = "last"\n' + STUDY)
    report_study(asked, store=store, notify=lambda line: None)
    assert measured_psnr(asked, "Plain & simple") > best + 0.1


def measured_psnr(asked: ReportOptions, title: str) -> float:
    document = json.loads((asked.runs / "tiny" / "report.json").read_text())
    model = next(m for m in document["models"] if m["title"] == title)
    psnr = model["sets"]["my_celeba"]["estimates"]["psnr_db"]["mean"]
    assert isinstance(psnr, float)
    return psnr


def test_a_run_that_was_stopped_goes_on(asked: ReportOptions, store: ModelStore) -> None:
    report_study(asked, store=store, notify=lambda line: None)
    (asked.runs / "tiny-ours-x8" / FINISHED_NAME).unlink()
    said: list[str] = []
    report_study(asked, store=store, notify=said.append)
    assert "[2/4] training Ours at x8" in said
    assert (asked.runs / "tiny-ours-x8" / FINISHED_NAME).is_file()


def test_without_training_missing_runs_are_listed(asked: ReportOptions, store: ModelStore) -> None:
    with pytest.raises(
        TrainingError, match=r"lacks tiny-srcnn-x8, tiny-ours-x8, .*train what is missing with --tr"
    ):
        report_study(changed(asked, is_training=False), store=store, notify=lambda line: None)


def test_runs_of_another_configuration_are_not_taken_for_the_studys(
    asked: ReportOptions, store: ModelStore
) -> None:
    report_study(asked, store=store, notify=lambda line: None)
    asked.study.write_text(STUDY.replace("architecture=srcnn", "architecture=edsr"))
    with pytest.raises(TrainingError, match="was trained by another configuration than the study"):
        report_study(asked, store=store, notify=lambda line: None)


def test_a_model_of_another_scale_is_refused(asked: ReportOptions, store: ModelStore) -> None:
    asked.study.write_text(
        'title = "x"\ntests = ["my_celeba"]\nscales = [4]\n'
        '[[rows]]\nlabel = "marks"\nmodel = "landmarker"\n'
    )
    with pytest.raises(TrainingError, match=r"'marks': landmarker is no network for x4; use \{sca"):
        report_study(asked, store=store, notify=lambda line: None)


def test_the_command_names_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path / "absent.toml")]) == 1
    assert "cannot read study" in capsys.readouterr().err
