"""The metric itself (III-A): ECM = 0.5 L_H + ln(L_conf), of a set of pairs.

L_H compares how often the classifier gave each probability on either side, L_conf how sure it was
of each face. Lower is better. The readings that the paper leaves open are in the functions below.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.emotion.ecm.probabilities import Probabilities, checked_pairs, entropy

# The paper names no binning. Its values (9.6 to 17.2) need an L_H of 20 to 36, as L_conf is at most
# ln 7: densities in 10 bins lie there. Probability mass stays below 8, raw counts grow with N, and
# 20 or 50 bins overshoot.
NUM_BINS = 10
# numpy's edges of 10 equal bins on [0, 1], so that a value on an edge falls where numpy has it.
_EDGES = np.linspace(0.0, 1.0, NUM_BINS + 1)


@dataclass(frozen=True)
class EcmResult:
    """The metric of a set of pairs.

    Attributes:
        l_h: Sum of the classes' squared histogram differences, in [0, 200 C].
        l_h_by_class: The same class by class, in the classifier's order.
        l_conf: Mean of the pairs' absolute entropy differences, in nats.
        n: Number of pairs.
    """

    l_h: float
    l_h_by_class: tuple[float, ...]
    l_conf: float
    n: int

    @property
    def ecm(self) -> float | None:
        """0.5 L_H + ln(L_conf); None where L_conf is 0, for ln 0 is undefined."""
        return None if self.degenerate else 0.5 * self.l_h + math.log(self.l_conf)

    @property
    def degenerate(self) -> bool:
        """Whether both sides of every pair have the same entropy, and there is no metric."""
        return self.l_conf == 0


def emotion_consistency(original: npt.ArrayLike, super_resolved: npt.ArrayLike) -> EcmResult:
    """Compare what a classifier reads in N originals with what it reads in their results.

    The metric belongs to a set: of one pair every class either moves to another bin or does not,
    so L_H is a multiple of 200 (``pair_measures`` is for that); at 50 pairs mild noise alone gives
    an L_H of 1 to 3. Neither the order of the pairs nor repeating all of them changes it.

    Args:
        original: (N, C) probabilities of the originals.
        super_resolved: (N, C) of the results, in the same order, by the same classifier.

    Raises:
        ValueError: no pair, different shapes, or rows that are no probabilities.
    """
    first, second = checked_pairs(original, super_resolved)
    l_h_by_class = histogram_differences(count_bins(first), count_bins(second), n=len(first))
    # fsum rounds once: the mean is the same whatever the order of the pairs.
    l_conf = math.fsum(np.abs(entropy(first) - entropy(second))) / len(first)
    return EcmResult(math.fsum(l_h_by_class), l_h_by_class, l_conf, len(first))


def bins_of(probabilities: Probabilities) -> npt.NDArray[np.intp]:
    """(N, C) -> (N, C) index of each probability's bin, 0 to 9; 1.0 falls into the last."""
    inside = np.searchsorted(_EDGES, probabilities, side="right") - 1
    return np.minimum(inside, NUM_BINS - 1)


def count_bins(probabilities: Probabilities) -> npt.NDArray[np.int64]:
    """(N, C) -> (C, 10) how many of the N faces have each class's probability in each bin."""
    num_classes = probabilities.shape[1]
    cells = bins_of(probabilities) + NUM_BINS * np.arange(num_classes)
    counts = np.bincount(cells.ravel(), minlength=num_classes * NUM_BINS)
    return counts.reshape(num_classes, NUM_BINS).astype(np.int64)


def histogram_differences(
    original: npt.NDArray[np.int64], super_resolved: npt.NDArray[np.int64], *, n: int
) -> tuple[float, ...]:
    """Squared difference of two sides' density histograms, class by class.

    A density is a count by N and by the bins' width, 1/10. The differences of counts are squared
    as integers, so nothing is lost before the one division.

    Args:
        original: (C, 10) counts of N faces.
        super_resolved: Likewise.
        n: N.
    """
    apart = (original - super_resolved).astype(object)
    return tuple(NUM_BINS**2 * int(square) / n**2 for square in (apart * apart).sum(1))
