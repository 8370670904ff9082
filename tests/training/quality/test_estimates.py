import numpy as np
import pytest

from training.quality import (
    Estimate,
    count_measured,
    estimate_difference,
    estimate_mean,
    estimate_over_sets,
    paired_differences,
)

NAN, INF = float("nan"), float("inf")


def test_the_interval_holds_the_mean_and_narrows_with_faces() -> None:
    values = np.random.default_rng(0).normal(3, 1, 400)
    many, few = estimate_mean(values), estimate_mean(values[:25])
    assert many.low < many.mean < many.high
    assert many.high - many.low == pytest.approx(2 * 1.96 / 20, rel=0.15)
    assert few.high - few.low > many.high - many.low
    assert many.n == 400


def test_the_interval_follows_from_the_seed() -> None:
    values = np.random.default_rng(0).normal(3, 1, 40)
    assert estimate_mean(values) == estimate_mean(values)
    assert estimate_mean(values, seed=1).low != estimate_mean(values).low


def test_the_interval_of_two_faces_reaches_from_one_to_the_other() -> None:
    assert estimate_mean([1.0, 3.0]) == Estimate(2.0, 1.0, 3.0, 2)


@pytest.mark.parametrize("values", [[2.5], [2.5, 2.5, 2.5]])
def test_a_single_face_or_equal_ones_leave_no_interval(values: list[float]) -> None:
    assert estimate_mean(values) == Estimate(2.5, 2.5, 2.5, len(values))


def test_faces_that_were_not_measured_are_left_out_and_not_counted() -> None:
    assert estimate_mean([1.0, NAN, 1.0]) == Estimate(1.0, 1.0, 1.0, 2)
    assert count_measured([1.0, NAN, 1.0]) == 2
    with pytest.raises(ValueError, match="no face was measured"):
        estimate_mean([NAN, NAN])


def test_equal_images_have_an_infinite_mean_and_not_an_undefined_interval() -> None:
    assert estimate_mean([INF, INF]) == Estimate(INF, INF, INF, 2)


def test_what_makes_a_face_hard_cancels_in_a_paired_difference() -> None:
    rng = np.random.default_rng(0)
    hardness = rng.normal(30, 5, 100)
    ours, theirs = hardness + 0.1 + rng.normal(0, 0.05, 100), hardness
    difference = estimate_difference(ours, theirs)
    assert difference.is_above_zero
    assert difference.mean == pytest.approx(0.1, abs=0.02)
    assert estimate_mean(ours).low < estimate_mean(theirs).high  # each by itself cannot tell
    mirrored = estimate_difference(theirs, ours)
    assert mirrored.is_below_zero
    assert mirrored.mean == pytest.approx(-difference.mean)


def test_a_difference_needs_both_sides_of_a_face() -> None:
    assert paired_differences([3.0, NAN, INF, INF], [1.0, 1.0, INF, 1.0]).tolist()[0] == 2
    assert estimate_difference([3.0, NAN, 5.0], [1.0, 1.0, NAN]) == Estimate(2.0, 2.0, 2.0, 1)
    assert estimate_difference([INF], [INF]).mean == 0
    with pytest.raises(ValueError, match="2 and 3 faces cannot be paired"):
        estimate_difference([1.0, 2.0], [1.0, 2.0, 3.0])


def test_every_set_counts_the_same_whatever_its_size() -> None:
    over_both = estimate_over_sets([np.zeros(90), np.ones(10)])
    assert over_both == Estimate(0.5, 0.5, 0.5, 100)
    with pytest.raises(ValueError, match="no face was measured"):
        estimate_over_sets([[1.0], [NAN]])


def test_a_statistic_is_drawn_over_faces_too() -> None:
    rows = np.random.default_rng(0).normal(0, 1, (60, 2))
    rows[:, 1] = 2 * rows[:, 0]

    def slope(faces: np.ndarray) -> float:
        return float(np.polyfit(faces[:, 0], faces[:, 1], 1)[0])

    found = estimate_over_sets([rows], slope)
    assert (found.mean, found.low, found.high) == pytest.approx((2, 2, 2))
    with pytest.raises(ValueError, match="has no value on these 60 faces"):
        estimate_over_sets([rows], lambda faces: NAN)


def test_a_statistic_of_all_draws_at_once_is_taken_of_the_same_draws() -> None:
    rows = np.random.default_rng(0).normal(0, 1, (20, 3))

    def spread(faces: np.ndarray) -> float:
        return float(faces.mean(0).max())

    def spreads(faces: np.ndarray, picks: np.ndarray) -> np.ndarray:
        return faces[picks].mean(1).max(1)

    assert estimate_over_sets([rows], spread, resampler=spreads) == estimate_over_sets(
        [rows], spread
    )
