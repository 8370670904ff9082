import numpy as np
import pytest

from training.quality import accuracy, confusion_matrix, macro_f1, mean_class_accuracy

# Of 6 faces of class 0 five are told right, of 2 of class 1 one, of class 2 there are none; once
# class 2 is told wrongly.
TRUTH = np.array([0, 0, 0, 0, 0, 0, 1, 1])
TOLD = np.array([0, 0, 0, 0, 0, 2, 1, 0])


def test_a_confusion_matrix_has_the_truth_in_rows() -> None:
    found = confusion_matrix(TRUTH, TOLD, num_classes=3)
    assert found.tolist() == [[5, 0, 1], [1, 1, 0], [0, 0, 0]]


def test_the_three_scores_are_what_they_are_by_hand() -> None:
    confusion = confusion_matrix(TRUTH, TOLD, num_classes=3)
    assert accuracy(confusion) == 6 / 8
    assert mean_class_accuracy(confusion) == pytest.approx((5 / 6 + 1 / 2) / 2)
    # Precision 5/6 and recall 5/6; 1 and 1/2; 0 and none.
    assert macro_f1(confusion) == pytest.approx((5 / 6 + 2 / 3 + 0) / 3)


def test_a_class_that_nobody_has_or_tells_does_not_count() -> None:
    confusion = confusion_matrix(np.array([0, 1]), np.array([0, 1]), num_classes=7)
    assert mean_class_accuracy(confusion) == macro_f1(confusion) == 1.0
