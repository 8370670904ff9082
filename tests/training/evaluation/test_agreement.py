"""Checking a calibration with what an evaluation read."""

import re

import numpy as np
import pytest
import torch

from model_store.emotion.recoverability import AgreementCalibration, AgreementCalibrationConfig
from tests.model_store.emotion.ecm.slow_reference import noisy_pairs
from tests.training.evaluation.readers import PaintedReader
from tests.training.evaluation.sets import make_face_set
from training.evaluation.agreement import (
    AgreementReadouts,
    agreement_readouts,
    check_agreement,
    check_comparison,
)
from training.evaluation.comparison import Comparison, compare_results, result_of
from training.evaluation.measures.expression import ExpressionConsistency
from training.evaluation.models import ModelDescription
from training.evaluation.report.reliability import (
    agreement_html,
    agreement_text,
    reliability_svg,
)
from training.quality import measure_reliability

COLUMNS = ExpressionConsistency(PaintedReader(), classifier="painted").columns[:1]


@pytest.fixture
def calibration() -> AgreementCalibration:
    """Trusts a sure result."""
    config = AgreementCalibrationConfig(
        scale=8, upscaler="mine@1", upscaler_sha256="", classifier="c@1", classifier_sha256=""
    )
    made = AgreementCalibration(config)
    made.coefficients.data[:2] = torch.tensor([-0.5, 1.0])
    return made


@pytest.fixture
def compared() -> Comparison:
    """Bicubic and a model, at x8, on two sets of 60 faces."""
    results = []
    for name, noise in (("bicubic", 3.0), ("mine@1", 1.0)):
        values = {
            faces: {"ecm": np.concatenate(noisy_pairs(60, seed=seed, noise=noise), axis=1)}
            for seed, faces in enumerate(("celeba", "helen"))
        }
        described = ModelDescription(name=name, scale=8, architecture="x")
        results.append(result_of(described, values, COLUMNS))
    sets = [make_face_set(name, faces=60) for name in ("celeba", "helen")]
    return compare_results(results, sets, columns=COLUMNS)


def test_the_bicubic_image_is_the_input_and_sets_are_joined_in_order(compared: Comparison) -> None:
    bicubic, mine = compared.results
    readouts = agreement_readouts(compared, mine, ["celeba", "helen"])
    for part, side in ((readouts.original, slice(0, 7)), (readouts.result, slice(7, 14))):
        expected = [mine.values[name]["ecm"][:, side] for name in ("celeba", "helen")]
        assert np.array_equal(part, np.concatenate(expected))
    assert np.array_equal(readouts.network_input[60:], bicubic.values["helen"]["ecm"][:, 7:])
    agrees = readouts.original.argmax(1) == readouts.result.argmax(1)
    assert np.array_equal(readouts.is_kept, agrees)


def test_a_model_without_bicubic_beside_it_cannot_be_checked(compared: Comparison) -> None:
    alone = compare_results(compared.results[1:], [make_face_set("celeba")], columns=COLUMNS)
    with pytest.raises(ValueError, match=r"no expressions were read of mine@1 and of bicubic"):
        agreement_readouts(alone, alone.results[0], ["celeba"])


def test_a_check_is_the_reliability_of_what_the_calibration_says(
    compared: Comparison, calibration: AgreementCalibration
) -> None:
    mine = compared.results[1]
    checks = check_comparison(compared, mine, calibration)
    assert [check.faces for check in checks] == ["all sets", "celeba", "helen"]
    readouts = agreement_readouts(compared, mine, ["helen"])
    said = calibration.probability(readouts.result, readouts.network_input)
    helen = checks[2]
    assert helen.reliability == measure_reliability(said, readouts.is_kept)
    assert helen.share_recoverable == (said >= 0.8).mean()
    assert helen.recoverable_kept is not None
    assert helen.recoverable_kept.mean == readouts.is_kept[said >= 0.8].mean()
    shown = readouts.result.argmax(1)
    sad = next(row for row in helen.by_expression if row.expression == "sad")
    assert sad.kept.n == (shown == 2).sum()
    assert sad.kept.mean == readouts.is_kept[shown == 2].mean()
    assert sad.said == pytest.approx(said[shown == 2].mean())


def test_nothing_recoverable_is_said_so(calibration: AgreementCalibration) -> None:
    calibration.coefficients.data.zero_()
    original, result = noisy_pairs(20, seed=0, noise=1.0)
    readouts = AgreementReadouts(original, result, result)
    check = check_agreement(readouts, calibration, title="t", faces="f")
    assert (check.share_recoverable, check.recoverable_kept) == (0.0, None)
    assert agreement_text([check]).splitlines()[2].split()[-1] == "-"


def test_text_and_page_show_each_set_and_each_expression(
    compared: Comparison, calibration: AgreementCalibration
) -> None:
    checks = check_comparison(compared, compared.results[1], calibration)
    text = agreement_text(checks)
    assert text.startswith("IS THE EXPRESSION RECOVERABLE? x8 mine@1")
    for name in ("all sets", "celeba", "helen", "sad", "angry"):
        assert re.search(rf"^  {name}\s+\d+ ", text, re.MULTILINE), name
    page = "".join(agreement_html(checks))
    assert page.count("<svg ") == 3
    assert page.count("<circle ") == sum(len(check.reliability.bins) for check in checks)
    assert "called recoverable from 0.8 on" in page
    assert agreement_text([]) == "".join(agreement_html([])) == ""


def test_an_honest_dot_lies_on_the_diagonal() -> None:
    said = np.full(10, 0.5)
    svg = reliability_svg(measure_reliability(said, np.arange(10) < 5))
    (x, y) = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)[0]
    lines = re.findall(r'<line x1="(\S+)" y1="(\S+)" x2="(\S+)" y2="(\S+)"', svg)
    left, low, right, high = map(float, lines[2])  # the two axes, then the diagonal
    assert float(x) == pytest.approx((left + right) / 2, abs=0.1)
    assert float(y) == pytest.approx((low + high) / 2, abs=0.1)
