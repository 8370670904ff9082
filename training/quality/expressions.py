"""How often expressions are told right, from a confusion matrix over a set of faces."""

import numpy as np
import numpy.typing as npt

Confusion = npt.NDArray[np.int64]
"""(C, C) counts: row the true class, column the one that was told."""


def confusion_matrix(
    truth: npt.NDArray[np.int64], told: npt.NDArray[np.int64], *, num_classes: int
) -> Confusion:
    """Count (N,) true and told classes."""
    counts = np.bincount(truth * num_classes + told, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def accuracy(confusion: Confusion) -> float:
    """Share of faces that were told right."""
    return float(np.trace(confusion) / confusion.sum())


def mean_class_accuracy(confusion: Confusion) -> float:
    """Mean over classes of the share told right; classes without a face do not count."""
    faces = confusion.sum(1)
    present = faces > 0
    return float(np.mean(np.diag(confusion)[present] / faces[present]))


def macro_f1(confusion: Confusion) -> float:
    """Mean over classes of F1; classes that neither occur nor were told do not count."""
    both = confusion.sum(0) + confusion.sum(1)
    present = both > 0
    return float(np.mean(2 * np.diag(confusion)[present] / both[present]))
