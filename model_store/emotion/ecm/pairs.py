"""What can be said of one pair: the metric itself belongs to a set."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.emotion.ecm.probabilities import Probabilities, checked_pairs, entropy


@dataclass(frozen=True, eq=False)
class PairMeasures:
    """Measures of N pairs, in their order.

    Attributes:
        entropy_difference: (N,) |H(original) - H(super-resolved)| in nats, 0 to ln C.
        jensen_shannon: (N,) Jensen-Shannon divergence in nats: 0 for equal rows, ln 2 for rows
            that share no class.
        top1_agrees: (N,) bool; both sides' likeliest class is the same. Of classes that tie the
            first counts.
        probability_shift: (N, C) super-resolved minus original, -1 to 1.
    """

    entropy_difference: npt.NDArray[np.float64]
    jensen_shannon: npt.NDArray[np.float64]
    top1_agrees: npt.NDArray[np.bool_]
    probability_shift: npt.NDArray[np.float64]


def pair_measures(original: npt.ArrayLike, super_resolved: npt.ArrayLike) -> PairMeasures:
    """Measure each of N pairs of (N, C) probabilities by itself.

    Raises:
        ValueError: no pair, different shapes, or rows that are no probabilities.
    """
    first, second = checked_pairs(original, super_resolved)
    return PairMeasures(
        entropy_difference=np.abs(entropy(first) - entropy(second)),
        jensen_shannon=_jensen_shannon(first, second),
        top1_agrees=first.argmax(1) == second.argmax(1),
        probability_shift=second - first,
    )


def _jensen_shannon(first: Probabilities, second: Probabilities) -> npt.NDArray[np.float64]:
    between = (first + second) / 2
    halves = (_relative_entropy(first, between) + _relative_entropy(second, between)) / 2
    # Rounding may leave the interval by an ulp.
    return np.clip(halves, 0.0, math.log(2))


def _relative_entropy(rows: Probabilities, reference: Probabilities) -> npt.NDArray[np.float64]:
    """(N,) sum of p ln(p / q) in nats; the reference is positive wherever the row is."""
    ratios = np.divide(rows, reference, where=rows > 0, out=np.ones(rows.shape))
    nats: npt.NDArray[np.float64] = (rows * np.log(ratios)).sum(1)
    return nats
