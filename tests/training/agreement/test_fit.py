import numpy as np
import pytest

from model_store.emotion.recoverability import AgreementCalibration, AgreementCalibrationConfig
from tests.model_store.emotion.ecm.slow_reference import noisy_pairs
from training.agreement.fit import fit_agreement, fit_logistic
from training.errors import DataError
from training.evaluation.agreement import AgreementReadouts, check_agreement

TRUTH = np.array([0.5, 1.5, -1.0])


def cases(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = np.column_stack([np.ones(count), rng.normal(0, 1, (count, 2))])
    likely = 1 / (1 + np.exp(-features @ TRUTH))
    return features, rng.uniform(0, 1, count) < likely


def faces(count: int, *, seed: int) -> AgreementReadouts:
    """Results that moved away from their originals, inputs that moved on from there."""
    original, result = noisy_pairs(count, seed=seed, noise=2.0)
    rng = np.random.default_rng(seed + 1000)
    network_input = 0.5 * result + 0.5 * rng.dirichlet(np.ones(7), count)
    return AgreementReadouts(original, result, network_input)


@pytest.fixture
def calibration() -> AgreementCalibration:
    return AgreementCalibration(
        AgreementCalibrationConfig(
            scale=8, upscaler="u@1", upscaler_sha256="", classifier="c@1", classifier_sha256=""
        )
    )


def test_the_coefficients_that_made_the_outcomes_are_found() -> None:
    assert fit_logistic(*cases(20_000)) == pytest.approx(TRUTH, abs=0.08)


def test_no_other_coefficients_have_a_lower_penalised_loss() -> None:
    features, outcomes = cases(200)

    def loss(coefficients: np.ndarray) -> float:
        logits = features @ coefficients
        return float(
            np.sum(np.logaddexp(0, logits) - outcomes * logits)
            + 0.5 * np.square(coefficients[1:]).sum()
        )

    found = fit_logistic(features, outcomes)
    rng = np.random.default_rng(1)
    for _ in range(200):
        assert loss(found) < loss(found + rng.normal(0, 0.05, 3))


def test_outcomes_that_a_feature_tells_apart_wholly_still_have_a_fit() -> None:
    features = np.column_stack([np.ones(40), np.linspace(-1, 1, 40)])
    found = fit_logistic(features, features[:, 1] > 0)
    assert 0 < found[1] < 20


def test_a_fit_is_calibrated_on_faces_that_it_has_not_seen(
    calibration: AgreementCalibration,
) -> None:
    fit_agreement(calibration, faces(1500, seed=0))
    check = check_agreement(faces(3000, seed=1), calibration, title="", faces="")
    assert check.reliability.calibration_error < 0.04
    assert check.reliability.brier.high < check.reliability.base_brier
    assert check.recoverable_kept is not None
    assert check.recoverable_kept.mean > 0.8


def test_what_is_fitted_is_what_half_precision_holds(calibration: AgreementCalibration) -> None:
    fit_agreement(calibration, faces(300, seed=0))
    coefficients = calibration.coefficients
    assert coefficients.equal(coefficients.half().float())
    assert coefficients.abs().min() > 0


def test_faces_whose_expressions_are_all_kept_or_none_fit_nothing(
    calibration: AgreementCalibration,
) -> None:
    original, _ = noisy_pairs(5, seed=0, noise=1.0)
    with pytest.raises(DataError, match="of 5 faces the expression of every one is kept"):
        fit_agreement(calibration, AgreementReadouts(original, original, original))
    with pytest.raises(DataError, match="of 5 faces the expression of no one is kept"):
        fit_agreement(calibration, AgreementReadouts(original, original[:, ::-1], original))
