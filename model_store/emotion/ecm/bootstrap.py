"""How far the choice of faces moves the metric: the 95 % interval of a set whose rows are there."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.emotion.ecm.metric import NUM_BINS, bins_of, emotion_consistency
from model_store.emotion.ecm.probabilities import Probabilities, checked_pairs, entropy

_PERCENTILES = (2.5, 97.5)
# Draws x pairs that are in memory at once: 32 MiB for each array.
_MAX_PICKS = 1 << 22


@dataclass(frozen=True)
class EcmInterval:
    """The 95 % interval of an ECM.

    Attributes:
        low: Its lower end.
        high: Its upper end.
        num_draws: Resamples behind it; 0 where it was computed from sums instead.
        num_degenerate: Resamples without a metric (L_conf = 0), which were left out.
    """

    low: float
    high: float
    num_draws: int = 0
    num_degenerate: int = 0


def bootstrap_interval(
    original: npt.ArrayLike,
    super_resolved: npt.ArrayLike,
    *,
    seed: int = 0,
    num_draws: int = 2000,
) -> EcmInterval | None:
    """Draw the pairs with replacement and return the middle 95 % of ``resampled_ecm``.

    It says how much the metric of sets of N such pairs varies. In simulations of 20 to 1,000 pairs
    it held the mean metric of such sets 99 times in 100: where chance makes up most of L_H it is
    wider than it had to be. The part of L_H that N pairs show by chance (``sampling_part``) it does
    not take out: compare sets of one size.

    Args:
        original: (N, C) probabilities of the originals.
        super_resolved: (N, C) of the results.
        seed: Of the draws.
        num_draws: How many.

    Returns:
        None where the metric is undefined, or where there is only one pair, which says nothing
        of others.

    Raises:
        ValueError: no pair, different shapes, or rows that are no probabilities.
    """
    first, second = checked_pairs(original, super_resolved)
    if len(first) < 2 or emotion_consistency(first, second).degenerate:
        return None
    rng = np.random.default_rng(seed)
    at_once = max(1, _MAX_PICKS // len(first))
    starts = range(0, num_draws, at_once)
    shapes = [(min(at_once, num_draws - start), len(first)) for start in starts]
    drawn = np.concatenate(
        [resampled_ecm(first, second, rng.integers(len(first), size=shape)) for shape in shapes]
    )
    defined = drawn[~np.isnan(drawn)]
    if not len(defined):
        return None
    low, high = np.percentile(defined, _PERCENTILES)
    return EcmInterval(float(low), float(high), num_draws, num_draws - len(defined))


def resampled_ecm(
    original: Probabilities, super_resolved: Probabilities, picks: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The metric of resamples, moved back to where the sample's own is.

    A resample shows its own chance on top of the sample's, which in squared differences does not
    cancel: its L_H is higher than the sample's, on average by ``sampling_part``. Left there, an
    interval seldom even holds the metric that it belongs to.

    Args:
        original: (N, C) probabilities of the originals.
        super_resolved: (N, C) of the results.
        picks: (D, M) which pairs each of D resamples consists of.

    Returns:
        (D,) NaN where a resample has no metric.
    """
    moves = bin_moves(original, super_resolved)
    differences = np.abs(entropy(original) - entropy(super_resolved))
    shares = _shares_of(picks, len(moves))
    l_h = NUM_BINS**2 * _squared_lengths(shares, moves)
    l_conf = shares @ differences
    logarithms = np.log(l_conf, where=l_conf > 0, out=np.full(len(picks), np.nan))
    drawn: npt.NDArray[np.float64] = 0.5 * (l_h - sampling_part(moves)) + logarithms
    return drawn


def bin_moves(original: Probabilities, super_resolved: Probabilities) -> npt.NDArray[np.float64]:
    """(N, 10 C) how each pair changes the histograms' difference: 1, 0 or -1 for every bin.

    Their mean over the pairs is a tenth of the difference between the two density histograms.
    """
    count, num_classes = original.shape
    moves = np.zeros((count, num_classes * NUM_BINS))
    offsets = NUM_BINS * np.arange(num_classes)
    rows = np.arange(count)[:, None]
    moves[rows, bins_of(original) + offsets] += 1
    moves[rows, bins_of(super_resolved) + offsets] -= 1
    return moves


def sampling_part(moves: npt.NDArray[np.float64]) -> float:
    """By how much the mean L_H of resamples exceeds the sample's: the trace of its covariance.

    By about as much the L_H of N pairs exceeds that of very many.
    """
    return NUM_BINS**2 * float(moves.var(0).sum()) / len(moves)


def _squared_lengths(
    shares: npt.NDArray[np.float64], moves: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(D,) squared lengths of the (D, N) shares' mixtures of (N, K) moves."""
    count, num_bins = moves.shape
    # Of fewer pairs than bins the pairs' products with each other are the smaller matrix.
    squares = shares @ (moves @ moves.T) * shares if count < num_bins else np.square(shares @ moves)
    lengths: npt.NDArray[np.float64] = squares.sum(1)
    return lengths


def _shares_of(picks: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    """(D, count) which share of each resample every pair makes up."""
    num_draws, size = picks.shape
    cells = picks + count * np.arange(num_draws)[:, None]
    weights = np.bincount(cells.ravel(), minlength=num_draws * count)
    return weights.reshape(num_draws, count) / size
