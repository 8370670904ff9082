import numpy as np
import pytest

from training.quality import Estimate, measure_reliability


def test_bins_errors_and_scores_by_hand() -> None:
    said = np.array([0.05, 0.05, 0.62, 0.68, 1.0])
    came_true = np.array([False, True, True, True, False])
    found = measure_reliability(said, came_true)
    assert [b.share.n for b in found.bins] == [2, 2, 1]
    assert [b.said for b in found.bins] == pytest.approx([0.05, 0.65, 1.0])
    assert [b.share.mean for b in found.bins] == [0.5, 1.0, 0.0]
    assert found.calibration_error == pytest.approx((2 * 0.45 + 2 * 0.35 + 1) / 5)
    squares = [0.05**2, 0.95**2, 0.38**2, 0.32**2, 1.0]
    assert found.brier.mean == pytest.approx(np.mean(squares))
    assert found.share.mean == 0.6
    assert found.base_brier == pytest.approx(0.6 * 0.4)


def test_honest_probabilities_are_found_honest_and_better_than_their_mean() -> None:
    rng = np.random.default_rng(0)
    said = rng.uniform(0, 1, 4000)
    found = measure_reliability(said, rng.uniform(0, 1, 4000) < said)
    assert found.calibration_error < 0.03
    assert found.brier.high < found.base_brier
    assert all(b.share.low - 0.03 < b.said < b.share.high + 0.03 for b in found.bins)


def test_certainty_that_comes_true_has_no_error() -> None:
    found = measure_reliability(np.ones(3), np.ones(3, dtype=bool))
    assert (found.calibration_error, found.brier) == (0.0, Estimate(0.0, 0.0, 0.0, 3))


def test_no_case_says_nothing() -> None:
    with pytest.raises(ValueError, match="there is no case to compare"):
        measure_reliability(np.zeros(0), np.zeros(0, dtype=bool))
