from collections.abc import Mapping

import numpy as np
import pytest

from tests.training.evaluation.sets import make_face_set
from training.config import PublishConfig
from training.evaluation.comparison import Comparison, compare_results, result_of
from training.evaluation.landmarker import LANDMARKER_COLUMNS
from training.evaluation.measures.image_quality import ImageQuality
from training.evaluation.measures.measure import Column
from training.evaluation.models import ModelDescription
from training.publish.gate import list_objections
from training.quality import SFMNET

NAN = float("nan")
HARDNESS = np.linspace(-4, 4, 40)
COLUMNS = (
    *ImageQuality(SFMNET).columns,
    Column("lpips_squeeze", "LPIPS", "", higher_is_better=False, decimals=4),
    Column("nme_mediapipe", "NME", "", higher_is_better=False, decimals=4),
)


def upscalers(**models: Mapping[str, np.ndarray]) -> Comparison:
    """Models measured on 40 faces, after bicubic, in the given order."""
    rows = {"bicubic": {"psnr_db": 20 + HARDNESS, "ssim": np.full(40, 0.5)}, **models}
    results = [
        result_of(
            ModelDescription(name=name, scale=8, architecture="x"), {"faces": values}, COLUMNS
        )
        for name, values in rows.items()
    ]
    return compare_results(results, [make_face_set("faces", faces=40)], columns=COLUMNS)


def measured(
    gain: float, *, lpips: float = 0.2, nme: float = 0.02, noise: int = 0
) -> dict[str, np.ndarray]:
    """A model that gains so much on faces of which some are hard."""
    scatter = np.random.default_rng(noise).normal(0, 0.2, 40)
    return {
        "psnr_db": 20 + HARDNESS + gain + scatter,
        "ssim": np.full(40, 0.7),
        "lpips_squeeze": lpips + scatter / 100,
        "nme_mediapipe": np.full(40, nme),
    }


def objections(comparison: Comparison, *, least: float = 0.0, previous: str | None) -> list[str]:
    thresholds = PublishConfig(minimum_psnr_gain_db=least)
    return list_objections(comparison, candidate="new", previous=previous, thresholds=thresholds)


def test_a_first_version_needs_its_thresholds_alone() -> None:
    assert objections(upscalers(new=measured(1.5)), least=1.0, previous=None) == []
    (objection,) = objections(upscalers(new=measured(0.5)), least=1.0, previous=None)
    assert objection.startswith("psnr_db is +0.")
    assert objection.endswith("dB over bicubic; publish.minimum_psnr_gain_db is 1.0")


def test_a_better_version_meets_no_objection() -> None:
    compared = upscalers(old=measured(1.0), new=measured(1.3, lpips=0.1, nme=0.01, noise=1))
    assert objections(compared, previous="old") == []


def test_worse_is_what_the_choice_of_faces_does_not_explain() -> None:
    within_noise = upscalers(old=measured(1.0), new=measured(0.99, noise=1))
    assert objections(within_noise, previous="old") == []
    beyond_noise = upscalers(old=measured(1.0), new=measured(0.7, noise=1))
    (objection,) = objections(beyond_noise, previous="old")
    assert objection.startswith("psnr_db is worse than old's by -0.")
    assert objection.endswith("] on 40 of 40 faces")


def test_better_in_one_measure_does_not_make_up_for_another() -> None:
    compared = upscalers(old=measured(1.0, nme=0.02), new=measured(2.0, lpips=0.3, nme=0.03))
    found = objections(compared, previous="old")
    assert [objection.split(" is worse")[0] for objection in found] == [
        "lpips_squeeze",
        "nme_mediapipe",
    ]


def test_faces_that_can_no_longer_be_found_are_no_way_around() -> None:
    compared = upscalers(old=measured(1.0), new=measured(1.0, nme=NAN))
    assert objections(compared, previous="old") == [
        "nme_mediapipe could not be measured, while old has it"
    ]


def test_a_measure_that_was_not_taken_at_all_is_not_asked_for() -> None:
    plain = {"psnr_db": 22 + HARDNESS, "ssim": np.full(40, 0.7)}
    assert objections(upscalers(old=plain, new=plain), previous="old") == []


def landmarkers(**errors: float) -> Comparison:
    rng = np.random.default_rng(0)
    results = []
    for name, error in errors.items():
        values = {}
        for column in LANDMARKER_COLUMNS:
            if "correlation" in column.name:
                values[column.name] = np.repeat(rng.uniform(0, 1, (40, 1)), 2, axis=1)
            elif "ece" in column.name:
                values[column.name] = np.tile([1.0, 1.0, 0.0], (40, 1))
            else:
                values[column.name] = np.full(40, error)
        described = ModelDescription(name=name, scale=None, architecture="landmarker")
        results.append(result_of(described, {"faces": values}, LANDMARKER_COLUMNS))
    return compare_results(results, [make_face_set("faces", faces=40)], columns=LANDMARKER_COLUMNS)


def test_a_landmarker_is_held_to_its_error() -> None:
    assert objections(landmarkers(new=0.03), previous=None) == []
    assert objections(landmarkers(new=0.2), previous=None) == [
        "nme_32px is 0.2000; publish.maximum_nme is 0.06",
        "nme_16px is 0.2000; publish.maximum_nme is 0.06",
    ]


@pytest.mark.parametrize(("new", "count"), [(0.03, 0), (0.02, 0), (0.031, 2)])
def test_a_landmarker_is_held_to_the_one_before_it(new: float, count: int) -> None:
    found = objections(landmarkers(old=0.03, new=new), previous="old")
    assert len(found) == count
    assert all("worse than old's by +0.0010" in objection for objection in found)
