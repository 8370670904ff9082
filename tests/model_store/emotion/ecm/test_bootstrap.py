import math

import numpy as np
import pytest

from model_store.emotion.ecm import bootstrap_interval, emotion_consistency
from model_store.emotion.ecm.bootstrap import bin_moves, resampled_ecm, sampling_part
from tests.model_store.emotion.ecm.slow_reference import Array, ecm_terms, noisy_pairs


def test_the_interval_holds_the_metric_and_narrows_with_pairs() -> None:
    sides = noisy_pairs(800, seed=1, noise=1.0, bias=0.5)
    few = tuple(side[:100] for side in sides)
    widths = []
    for pairs in (few, sides):
        interval, result = bootstrap_interval(*pairs), emotion_consistency(*pairs)
        assert interval is not None
        assert result.ecm is not None
        assert interval.low < result.ecm < interval.high
        assert (interval.num_draws, interval.num_degenerate) == (2000, 0)
        widths.append(interval.high - interval.low)
    assert widths[0] > 2 * widths[1]


def test_the_interval_follows_from_the_seed() -> None:
    sides = noisy_pairs(60, seed=2, noise=1.0)
    assert bootstrap_interval(*sides, seed=3) == bootstrap_interval(*sides, seed=3)
    assert bootstrap_interval(*sides, seed=3) != bootstrap_interval(*sides, seed=4)


def test_it_is_what_resampling_rows_one_by_one_gives() -> None:
    sides = noisy_pairs(40, seed=3, noise=1.0, bias=1.0)
    rng = np.random.default_rng(0)
    drawn = [_slow_terms(sides, rng.integers(40, size=40)) for _ in range(500)]
    l_h, ln_l_conf = np.array(drawn).T
    # Moved back by what a resample adds on average.
    slow = 0.5 * (l_h - l_h.mean() + emotion_consistency(*sides).l_h) + ln_l_conf
    interval = bootstrap_interval(*sides)
    assert interval is not None
    low, high = np.percentile(slow, [2.5, 97.5])
    assert interval.low == pytest.approx(low, abs=0.1 * (high - low))
    assert interval.high == pytest.approx(high, abs=0.1 * (high - low))


@pytest.mark.parametrize("count", [2, 8, 69, 70, 90])
def test_resamples_of_fewer_and_of_more_pairs_than_bins_are_those_of_their_rows(count: int) -> None:
    original, super_resolved = noisy_pairs(count, seed=4, noise=1.0, bias=1.0)
    picks = np.random.default_rng(1).integers(count, size=(20, count))
    chance = sampling_part(bin_moves(original, super_resolved))
    terms = [_slow_terms((original, super_resolved), row) for row in picks]
    expected = [0.5 * (l_h - chance) + ln_l_conf for l_h, ln_l_conf in terms]
    assert resampled_ecm(original, super_resolved, picks) == pytest.approx(expected, abs=1e-9)


def _slow_terms(sides: tuple[Array, Array], picks: Array) -> tuple[float, float]:
    l_h, l_conf = ecm_terms(*(side[picks].tolist() for side in sides))
    return sum(l_h), math.log(l_conf)


@pytest.mark.slow
def test_19_of_20_intervals_hold_the_metric_of_sets_of_that_size() -> None:
    for count, bias in ((50, 0.0), (50, 1.0), (250, 0.5)):
        assert 0.92 <= _coverage(count, bias) <= 1.0


def _coverage(count: int, bias: float) -> float:
    """Share of intervals that hold the mean metric of many sets of as many pairs."""
    sets = [noisy_pairs(count, seed=s, noise=1.0, bias=bias) for s in range(400)]
    centre = np.mean([emotion_consistency(*sides).ecm for sides in sets])
    found = [bootstrap_interval(*sides, num_draws=400) for sides in sets]
    return float(np.mean([i is not None and i.low <= centre <= i.high for i in found]))


def test_resamples_without_a_metric_are_left_out_and_counted() -> None:
    # Only one of the six pairs differs in entropy; (5/6)^6 of the resamples miss it.
    original = [[1.0, 0.0]] * 6
    interval = bootstrap_interval(original, [[0.9, 0.1], *original[1:]])
    assert interval is not None
    assert interval.num_degenerate / interval.num_draws == pytest.approx((5 / 6) ** 6, abs=0.04)
    assert math.isfinite(interval.low)


def test_a_set_without_a_metric_or_of_one_pair_has_no_interval() -> None:
    sides = noisy_pairs(10, seed=0, noise=1.0)
    assert bootstrap_interval(sides[0], sides[0]) is None
    assert bootstrap_interval(sides[0][:1], sides[1][:1]) is None


def test_equal_pairs_leave_no_width() -> None:
    interval = bootstrap_interval([[1.0, 0.0]] * 5, [[0.5, 0.5]] * 5)
    assert interval is not None
    assert interval.low == interval.high == pytest.approx(200 + math.log(math.log(2)))
