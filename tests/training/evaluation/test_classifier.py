import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model_store.emotion.classifier import EMOTIONS, EmotionClassifier
from tests.training.data.expressions.labelled_faces import write_tinted_pack
from training.config import PublishConfig
from training.data.expressions.pack import open_expression_pack
from training.errors import DataError
from training.evaluation.classifier import (
    CLASSIFIER_COLUMNS,
    ClassifierKind,
    ExpressionSet,
    measure_classifier,
    read_expression_set,
)
from training.evaluation.comparison import Comparison, compare_results
from training.evaluation.models import ModelDescription
from training.evaluation.report.confusion import confusion_tables, confusions_text
from training.evaluation.report.document import write_document
from training.evaluation.report.page import PageHead, report_page
from training.publish.gate import list_objections

# A face's brightness is the number of what the classifier below tells.
TRUTH = [0, 0, 0, 0, 1, 1]
TOLD = [0, 0, 0, 2, 1, 0]


class BrightnessReader(EmotionClassifier):
    """Tells the class that a crop's brightness names, always equally sure of it."""

    def __init__(self, *, sure: float, temperature: float = 1.0) -> None:
        super().__init__(1)
        self.classes = nn.Identity()  # type: ignore[assignment]
        self.temperature.fill_(temperature)
        self._logit = float(np.log(sure / (1 - sure) * (len(EMOTIONS) - 1))) * temperature

    def features(self, crops: Tensor) -> Tensor:
        told = (crops.mean((1, 2, 3)) * 255 / 20).round().long()
        return nn.functional.one_hot(told, len(EMOTIONS)).float() * self._logit


def faces_that_are_told(told: list[int], truth: list[int], name: str = "faces") -> ExpressionSet:
    images = np.stack([np.full((112, 112, 3), 20 * t, np.uint8) for t in told])
    return ExpressionSet(name, f"digest of {name}", images, np.array(truth))


def measure(
    models: Mapping[str, EmotionClassifier], sets: list[ExpressionSet] | None = None
) -> Comparison:
    sets = sets or [faces_that_are_told(TOLD, TRUTH)]
    results = [
        measure_classifier(
            ModelDescription(name=name, scale=None, architecture="mobilefacenet"), network, sets
        )
        for name, network in models.items()
    ]
    return compare_results(results, sets, columns=CLASSIFIER_COLUMNS)


def test_every_number_is_what_it_is_by_hand() -> None:
    comparison = measure({"reader": BrightnessReader(sure=0.9)})
    found = {k: v.mean for k, v in comparison.results[0].estimates["faces"].items()}
    assert found["accuracy_112px"] == pytest.approx(4 / 6)
    assert found["mean_class_accuracy_112px"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    # F1: of class 0 2*3/(4+4), of class 1 2*1/(2+1), of class 2 none of one told.
    assert found["macro_f1_112px"] == pytest.approx((6 / 8 + 2 / 3 + 0) / 3)
    wrong = -np.log(0.1 / 6)
    assert found["cross_entropy_112px"] == pytest.approx((4 * -np.log(0.9) + 2 * wrong) / 6)
    assert found["calibration_error_112px"] == pytest.approx(0.9 - 4 / 6, abs=1e-5)
    for side in (64, 32):  # a flat face stays what it is at any size
        assert found[f"accuracy_{side}px"] == pytest.approx(4 / 6)


def test_the_error_before_calibration_stands_beside_the_one_after() -> None:
    reader = BrightnessReader(sure=0.7, temperature=2.0)
    found = measure({"reader": reader}).results[0].estimates["faces"]
    odds = (0.7 / 0.3 * 6) ** 2  # twice the logit
    plain = odds / (odds + 6)
    assert found["calibration_error_112px"].mean == pytest.approx(abs(0.7 - 4 / 6), abs=1e-5)
    assert found["uncalibrated_error_112px"].mean == pytest.approx(plain - 4 / 6, abs=1e-5)


def test_classifiers_are_compared_face_by_face() -> None:
    sets = [faces_that_are_told(TOLD, TRUTH)]
    comparison = measure(
        {"first": BrightnessReader(sure=0.9), "second": BrightnessReader(sure=0.6)}, sets
    )
    (difference,) = comparison.differences
    assert (difference.title, difference.reference) == ("second", "first")
    assert difference.means["accuracy_112px"].mean == 0
    assert difference.means["mean_class_accuracy_112px"].mean == 0
    change = abs(0.6 - 4 / 6) - (0.9 - 4 / 6)
    assert difference.means["calibration_error_112px"].mean == pytest.approx(change, abs=1e-5)


def test_the_confusion_stands_in_text_page_and_document(tmp_path: Path) -> None:
    comparison = measure({"reader": BrightnessReader(sure=0.9)})
    (table,) = confusion_tables(comparison)
    assert table.counts[0].tolist() == [3, 0, 1, 0, 0, 0, 0]
    assert table.counts[1].tolist() == [1, 1, 0, 0, 0, 0, 0]
    text = confusions_text(comparison)
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines()[2:]}
    assert lines["neutral"][:4] == ["4", "0.750", "0.000", "0.250"]
    assert set(lines["fear"]) == {"0", "-"}
    page = report_page(comparison, head=PageHead("t", "now", "abc"), strips=[])
    assert "reader on faces" in page
    assert "<td>0.750</td>" in page
    assert "Decibels" not in page
    assert "bicubic" not in page
    write_document(tmp_path / "report.json", comparison)
    (confusion,) = json.loads((tmp_path / "report.json").read_text())["confusions"]
    assert confusion["set"] == "faces"
    assert confusion["counts"] == table.counts.tolist()


def test_only_the_test_slice_is_measured_on(tmp_path: Path) -> None:
    write_tinted_pack(tmp_path / "all", [2] * 7, splits=("train", "validation", "test"))
    pack = open_expression_pack(tmp_path / "all")
    faces = read_expression_set(pack)
    assert len(faces) == 14
    assert np.array_equal(faces.images, pack.images[pack.rows("test")])
    thinned = read_expression_set(pack, max_faces=3)
    assert thinned.labels.tolist() == [0, 3, 6]
    write_tinted_pack(tmp_path / "learnt", [1] * 7)
    with pytest.raises(DataError, match=r"learnt has no slice to test on; .* --slice test"):
        read_expression_set(open_expression_pack(tmp_path / "learnt"))


THRESHOLDS = PublishConfig(
    minimum_accuracy=0.6, minimum_mean_class_accuracy=0.6, maximum_calibration_error=0.1
)


def objections(comparison: Comparison, thresholds: PublishConfig = THRESHOLDS) -> list[str]:
    previous = "old" if len(comparison.results) > 1 else None
    return list_objections(comparison, candidate="new", previous=previous, thresholds=thresholds)


def test_a_classifier_is_held_to_its_thresholds_on_the_first_set() -> None:
    hard = faces_that_are_told([1, 2, 3, 4], [0, 0, 0, 0], name="hard")
    sets = [faces_that_are_told(TOLD, TRUTH), hard]
    good = measure({"new": BrightnessReader(sure=0.65)}, sets)
    assert objections(good) == []
    assert objections(good, replace(THRESHOLDS, minimum_accuracy=0.7)) == [
        "accuracy on faces is 0.6667; publish.minimum_accuracy is 0.7"
    ]
    assert objections(measure({"new": BrightnessReader(sure=0.9)}, sets[::-1])) == [
        "accuracy on hard is 0.0000; publish.minimum_accuracy is 0.6",
        "mean_class_accuracy on hard is 0.0000; publish.minimum_mean_class_accuracy is 0.6",
        "calibration_error on hard is 0.9000; publish.maximum_calibration_error is 0.1",
    ]


def test_a_classifier_must_not_be_worse_than_the_one_it_replaces() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 7, 120)
    told = np.where(rng.uniform(size=120) < 0.7, truth, rng.integers(0, 7, 120))
    sets = [faces_that_are_told(told.tolist(), truth.tolist())]
    sure = BrightnessReader(sure=0.7)
    loose = replace(THRESHOLDS, maximum_calibration_error=1.0)
    assert objections(measure({"old": sure, "new": BrightnessReader(sure=0.72)}, sets), loose) == []
    found = objections(measure({"old": sure, "new": BrightnessReader(sure=0.97)}, sets), loose)
    assert [line.split(" is worse")[0] for line in found] == [
        f"calibration_error_{side}px" for side in (112, 64, 32)
    ]


def test_the_kind_measures_networks_by_name(tmp_path: Path) -> None:
    kind = ClassifierKind()
    assert kind.does == "tells expressions apart"
    assert set(kind.gate_columns) <= {column.name for column in CLASSIFIER_COLUMNS}
    assert torch.equal(BrightnessReader(sure=0.9).temperature, torch.ones(()))
