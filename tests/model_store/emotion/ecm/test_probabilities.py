import math

import numpy as np
import pytest

from model_store.emotion.ecm import checked_pairs, checked_probabilities, entropy


def test_entropy_is_in_nats_and_a_certain_row_has_none() -> None:
    rows = checked_probabilities([[1, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]])
    assert entropy(rows).tolist() == pytest.approx([0, math.log(2), math.log(3)], abs=1e-15)
    assert str(entropy(rows)[0]) == "0.0"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[0.5, 0.4]], "row 0 sums to 0.9; a row must sum to 1 within 1e-05"),
        ([[0.5, 0.5], [0.5, 0.50002]], "row 1 sums to 1.00002"),
        ([[2.0, -1.0]], "row 0 holds -1; none may be negative"),
        ([[0.5, 0.5], [math.nan, 1.0]], "row 1 holds NaN or infinity"),
        ([[math.inf, 0.0]], "row 0 holds NaN or infinity"),
        (np.zeros((0, 7)), r"have the shape \(0, 7\); give \(N, C\) with at least one face"),
        (np.zeros((3, 0)), r"have the shape \(3, 0\)"),
        ([0.5, 0.5], r"have the shape \(2,\)"),
    ],
)
def test_what_is_no_probability_is_refused(rows: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_probabilities(rows)  # type: ignore[arg-type]


def test_both_sides_need_the_same_faces_and_classes() -> None:
    with pytest.raises(ValueError, match=r"originals are \(1, 2\) and super-resolved \(2, 2\)"):
        checked_pairs([[1, 0]], [[1, 0], [0, 1]])
    with pytest.raises(ValueError, match=r"originals are \(1, 2\) and super-resolved \(1, 3\)"):
        checked_pairs([[1, 0]], [[1, 0, 0]])
    with pytest.raises(ValueError, match=r"super-resolved's probabilities: row 0 sums to 2"):
        checked_pairs([[1, 0]], [[1, 1]])


def test_the_rounding_of_a_float32_softmax_is_taken_and_never_counts_as_more_than_1() -> None:
    rows = checked_probabilities(np.array([[1.0000001, 0.0]], dtype=np.float32))
    assert rows.dtype == np.float64
    assert rows[0].tolist() == [1.0, 0.0]


def test_the_caller_s_rows_are_not_written_to() -> None:
    rows = np.array([[1.000001, 0.0]])
    checked_probabilities(rows)
    assert rows[0, 0] == 1.000001
