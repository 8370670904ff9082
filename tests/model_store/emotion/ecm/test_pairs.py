import math

import numpy as np
import pytest
from hypothesis import given

from model_store.emotion.ecm import pair_measures
from tests.model_store.emotion.ecm.slow_reference import Array, pairs


def test_pairs_by_hand() -> None:
    original = [[1.0, 0.0], [0.5, 0.5], [1.0, 0.0], [0.2, 0.8]]
    super_resolved = [[0.0, 1.0], [0.5, 0.5], [0.5, 0.5], [0.4, 0.6]]
    measures = pair_measures(original, super_resolved)
    halves = [
        math.log(2),  # nothing in common
        0.0,
        # between: (3/4, 1/4); half of ln(4/3), and half of (ln(2/3) + ln 2) / 2
        0.5 * math.log(4 / 3) + 0.25 * (math.log(2 / 3) + math.log(2)),
        0.5 * (0.2 * math.log(0.2 / 0.3) + 0.8 * math.log(0.8 / 0.7))
        + 0.5 * (0.4 * math.log(0.4 / 0.3) + 0.6 * math.log(0.6 / 0.7)),
    ]
    assert measures.jensen_shannon == pytest.approx(np.array(halves))
    assert measures.entropy_difference[:3] == pytest.approx(np.array([0, 0, math.log(2)]))
    assert measures.top1_agrees.tolist() == [False, True, True, True]
    assert measures.probability_shift[[0, 3]] == pytest.approx(np.array([[-1, 1], [0.2, -0.2]]))


@given(pairs())
def test_every_measure_keeps_its_bounds_and_its_symmetry(sides: tuple[Array, Array]) -> None:
    there, back = pair_measures(*sides), pair_measures(sides[1], sides[0])
    assert np.array_equal(there.jensen_shannon, back.jensen_shannon)
    assert np.array_equal(there.entropy_difference, back.entropy_difference)
    assert np.array_equal(there.probability_shift, -back.probability_shift)
    assert (there.jensen_shannon >= 0).all()
    assert (there.jensen_shannon <= math.log(2)).all()
    assert there.probability_shift.sum(1) == pytest.approx(np.zeros(len(sides[0])), abs=1e-12)


@given(pairs())
def test_an_image_beside_itself_has_no_distance(sides: tuple[Array, Array]) -> None:
    measures = pair_measures(sides[0], sides[0])
    assert measures.top1_agrees.all()
    assert not measures.jensen_shannon.any()
    assert not measures.entropy_difference.any()


def test_of_classes_that_tie_the_first_counts() -> None:
    assert pair_measures([[0.5, 0.5]], [[0.9, 0.1]]).top1_agrees.tolist() == [True]
    assert pair_measures([[0.5, 0.5]], [[0.1, 0.9]]).top1_agrees.tolist() == [False]
