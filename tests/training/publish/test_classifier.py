"""From labelled faces to a published classifier, as the command line does it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_store.emotion.classifier import EmotionClassifier
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from model_store.store import ModelStore
from tests.published import publish_untrained
from tests.tiny_classifiers import TINY_CLASSIFIERS
from tests.training.data.expressions.labelled_faces import write_tinted_pack
from tests.training.runs import run
from tests.training.tasks.test_expressions import CONFIG
from training.__main__ import main
from training.config import ExpressionTaskConfig
from training.errors import DataError, PublishRefusedError, TrainingError
from training.evaluation.models import open_network
from training.publish import EnsembleOptions, PublishOptions, publish_ensemble, publish_run


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    root = tmp_path / "packs"
    write_tinted_pack(root / "tints", [4] * 7, splits=("train", "validation", "test"))
    write_tinted_pack(root / "others", [2] * 7, splits=("test",))
    return root


def publish(folder: Path, *, packs: Path, store: ModelStore, reason: str | None = "tiny") -> str:
    options = PublishOptions(run=folder, packs=packs, tests=("tints", "others"), allow_worse=reason)
    return publish_run(options, store=store).reference


def test_a_classifier_goes_from_pack_to_published_version(packs: Path, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    run(CONFIG, packs=packs, runs=tmp_path)
    folder = tmp_path / "expressions"
    with pytest.raises(PublishRefusedError, match=r"expressions is not published: accuracy on tin"):
        publish(folder, packs=packs, store=store, reason=None)
    assert publish(folder, packs=packs, store=store) == "expressions@1"
    manifest = store.resolve("expressions")
    assert manifest.architecture == "mobilefacenet"
    assert manifest.scale is None
    assert manifest.training.data == {"tints": 28}
    wanted = {
        "tints/accuracy_112px",
        "others/calibration_error_32px",
        "tints/uncalibrated_error_64px",
    }
    assert wanted <= set(manifest.metrics)
    network = store.load("expressions").module
    assert isinstance(network, EmotionClassifier)
    assert float(network.temperature) != 1.0
    # The run's own weights are as they were: only what is published is calibrated.
    trained = open_network(str(folder), store=store).network
    assert isinstance(trained, EmotionClassifier)
    assert float(trained.temperature) == 1.0


def test_a_classifier_does_not_replace_a_landmarker(packs: Path, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    small = LandmarkerConfig(num_coefficients=4, widths=(4, 4, 4, 4))
    publish_untrained(store, Landmarker(small), name="expressions")
    run(CONFIG, packs=packs, runs=tmp_path)
    with pytest.raises(TrainingError, match="expressions@1 is for another scale or task"):
        publish(tmp_path / "expressions", packs=packs, store=store)


def test_the_command_line_evaluates_classifiers_side_by_side(
    packs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(CONFIG, packs=packs, runs=tmp_path)
    other = ExpressionTaskConfig(network=TINY_CLASSIFIERS[1])
    run(replace(CONFIG, name="other", task=other, max_steps=2), packs=packs, runs=tmp_path)
    models = [str(tmp_path / "expressions"), str(tmp_path / "other")]
    tests = ["--packs", str(packs), "--test", "tints", "others"]
    reports = ["--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html")]
    assert main(["evaluate", *models, *tests, *reports]) == 0
    printed = capsys.readouterr().out
    assert "other minus" in printed
    assert "calibration_error_112px" in printed
    assert "rows are the true expression" in printed
    assert "bicubic" not in printed
    assert "Readers of faces, measured" in (tmp_path / "r.html").read_text()
    assert main(["evaluate", *models, "bicubic", *tests]) == 1
    assert "tells expressions apart, bicubic not; evaluate them in sep" in capsys.readouterr().err
    assert main(["evaluate", *models, *tests, "--against", "absent"]) == 1
    assert "--against absent is none of the models" in capsys.readouterr().err


def test_published_weights_tell_what_was_measured(packs: Path, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    run(CONFIG, packs=packs, runs=tmp_path)
    publish(tmp_path / "expressions", packs=packs, store=store)
    loaded = store.load("expressions").module
    assert isinstance(loaded, EmotionClassifier)
    crops = torch.rand(2, 3, 112, 112)
    assert torch.allclose(loaded.probabilities(crops).sum(1), torch.ones(2))


def test_published_classifiers_become_one(
    packs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "store"
    store = ModelStore(root)
    for name, config in zip(("first", "second"), TINY_CLASSIFIERS, strict=True):
        task = ExpressionTaskConfig(network=config)
        run(replace(CONFIG, name=name, task=task, max_steps=2), packs=packs, runs=tmp_path)
        publish(tmp_path / name, packs=packs, store=store)
    where = ["--packs", str(packs), "--test", "tints", "--store", str(root)]
    assert main(["ensemble", "both", "first@1", "second", *where, "--allow-worse", "tiny"]) == 0
    assert "published both@1" in capsys.readouterr().out
    manifest = store.resolve("both")
    assert manifest.training.start == "first@1, second@1"
    assert manifest.training.data == {"tints": 28}
    assert "tints/mean_class_accuracy_32px" in manifest.metrics
    network = store.load("both").module
    assert isinstance(network, EmotionClassifier)
    assert float(network.temperature) != 1.0
    assert main(["ensemble", "alone", "first", "--mirrored", *where, "--allow-worse", "tiny"]) == 0
    assert store.resolve("alone").training.config == {"members": ["first@1"], "mirrored": True}
    for members, message in (
        (["first"], "at least two members"),
        (["first", "absent"], "member absent: "),
        (["first", "both"], "member both@1 has the architecture emotion_ensemble"),
    ):
        assert main(["ensemble", "other", *members, *where]) == 1
        assert message in capsys.readouterr().err


def test_an_ensemble_needs_what_its_members_learnt_from(packs: Path, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    write_tinted_pack(packs / "more", [3] * 7, splits=("train", "validation"))
    for name, pack in (("first", "tints"), ("second", "more")):
        data = replace(CONFIG.data, packs=(pack,))
        run(replace(CONFIG, name=name, data=data, max_steps=2), packs=packs, runs=tmp_path)
        publish(tmp_path / name, packs=packs, store=store)
    options = EnsembleOptions(
        name="both", members=("first", "second"), packs=packs, tests=("others",)
    )
    with pytest.raises(TrainingError, match=r"first@1, second@1 learnt from different packs"):
        publish_ensemble(options, store=store)
    publish(tmp_path / "first", packs=packs, store=store)  # first@2
    shutil.rmtree(packs / "tints")
    write_tinted_pack(packs / "tints", [5] * 7, splits=("train", "validation", "test"))
    with pytest.raises(DataError, match="is not the pack that the members learnt from"):
        publish_ensemble(replace(options, members=("first@1", "first@2")), store=store)
