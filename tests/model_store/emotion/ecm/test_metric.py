import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.emotion.ecm import emotion_consistency
from tests.model_store.emotion.ecm.slow_reference import Array, ecm_terms, noisy_pairs, pairs


def test_one_pair_by_hand() -> None:
    # Class 0 goes from bin 9 to bin 5, class 1 from bin 0 to bin 5: two bins each, densities of 10.
    result = emotion_consistency([[1.0, 0.0]], [[0.5, 0.5]])
    assert result.l_h_by_class == (200.0, 200.0)
    assert result.l_h == 400.0
    assert result.l_conf == pytest.approx(math.log(2))
    assert result.ecm == pytest.approx(200 + math.log(math.log(2)))
    assert (result.n, result.degenerate) == (1, False)


def test_four_pairs_by_hand() -> None:
    # Only the first pair moves, and only its first two classes change their bins: a quarter of the
    # faces, so densities differ by 2.5 in two bins of two classes. It goes from one half, one half
    # (ln 2) to certainty (0), and three pairs' entropies stay.
    original = [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]]
    super_resolved = [[1.0, 0.0, 0.0], *original[1:]]
    result = emotion_consistency(original, super_resolved)
    assert result.l_h_by_class == (12.5, 12.5, 0.0)
    assert result.l_conf == pytest.approx(math.log(2) / 4)
    assert result.ecm == pytest.approx(12.5 + math.log(math.log(2) / 4))


def test_exchanged_faces_leave_both_terms_at_zero() -> None:
    # Histograms do not know which face is which: that is what agreement is for.
    result = emotion_consistency([[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]])
    assert (result.l_h, result.l_conf, result.ecm, result.degenerate) == (0.0, 0.0, None, True)


def test_everything_moved_reaches_the_upper_bound() -> None:
    result = emotion_consistency([[1.0] + [0.0] * 6] * 3, [[1 / 7] * 7] * 3)
    assert result.l_h == 200 * 7
    assert result.l_conf == pytest.approx(math.log(7))


@pytest.mark.parametrize(
    ("value", "lowest"),
    [(0.1, 0.05), (0.3, 0.25), (0.7, 0.65), (0.8999999, 0.81), (1.0, 0.95), (0.0, 0.05)],
)
def test_a_value_on_an_edge_falls_where_numpy_has_it(value: float, lowest: float) -> None:
    ours = emotion_consistency([[value, 1 - value]], [[lowest, 1 - lowest]]).l_h_by_class
    theirs, _ = ecm_terms([[value, 1 - value]], [[lowest, 1 - lowest]])
    assert ours == pytest.approx(theirs)


@given(pairs())
def test_it_is_what_plain_python_computes(sides: tuple[Array, Array]) -> None:
    l_h, l_conf = ecm_terms(sides[0].tolist(), sides[1].tolist())
    result = emotion_consistency(*sides)
    assert result.l_h_by_class == pytest.approx(l_h)
    assert result.l_h == pytest.approx(sum(l_h))
    assert result.l_conf == pytest.approx(l_conf, abs=1e-14)
    assert 0 <= result.l_h <= 200 * sides[0].shape[1] + 1e-9
    assert 0 <= result.l_conf <= math.log(sides[0].shape[1]) + 1e-12


def test_it_is_what_plain_python_computes_of_many_faces() -> None:
    sides = noisy_pairs(500, seed=0, noise=1.0, bias=0.5)
    l_h, l_conf = ecm_terms(sides[0].tolist(), sides[1].tolist())
    result = emotion_consistency(*sides)
    assert result.l_h_by_class == pytest.approx(l_h)
    assert result.ecm == pytest.approx(0.5 * sum(l_h) + math.log(l_conf))


@given(pairs(), st.randoms(use_true_random=False))
def test_the_order_of_pairs_changes_nothing(sides: tuple[Array, Array], random: object) -> None:
    order = list(range(len(sides[0])))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert emotion_consistency(sides[0][order], sides[1][order]) == emotion_consistency(*sides)


@given(pairs(), st.integers(2, 5))
def test_repeating_all_pairs_changes_nothing_but_n(sides: tuple[Array, Array], times: int) -> None:
    once = emotion_consistency(*sides)
    often = emotion_consistency(*(np.tile(side, (times, 1)) for side in sides))
    assert often.n == times * once.n
    assert often.l_h_by_class == pytest.approx(once.l_h_by_class)
    assert often.l_conf == pytest.approx(once.l_conf)


@given(pairs())
def test_it_is_symmetric(sides: tuple[Array, Array]) -> None:
    assert emotion_consistency(sides[1], sides[0]) == emotion_consistency(*sides)


@given(pairs())
def test_identical_sets_are_degenerate_and_have_no_value(sides: tuple[Array, Array]) -> None:
    result = emotion_consistency(sides[0], sides[0])
    assert (result.l_h, result.l_conf, result.degenerate, result.ecm) == (0.0, 0.0, True, None)


@given(pairs(max_size=1))
def test_one_pair_has_a_multiple_of_200(sides: tuple[Array, Array]) -> None:
    result = emotion_consistency(*sides)
    assert all(value in (0.0, 200.0) for value in result.l_h_by_class)


def test_mild_noise_alone_gives_50_pairs_an_l_h_of_a_few() -> None:
    values = [emotion_consistency(*noisy_pairs(50, seed=s, noise=0.25)).l_h for s in range(20)]
    assert 1 < np.mean(values) < 4
    many = emotion_consistency(*noisy_pairs(20_000, seed=0, noise=0.25)).l_h
    assert many < 0.2
