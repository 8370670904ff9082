"""Numbers over a set of faces with their 95 % bootstrap intervals, and differences between them.

Faces are drawn with replacement, 2,000 times, from a fixed seed; the interval holds the middle
95 % of what the draws give. A difference is paired: both sides are seen on the same drawn faces,
so that what makes a face hard cancels. A face whose value is NaN was not measured and is left out;
``n`` says how many were.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
"""(N,) one value a face, or (N, K) what a statistic over faces needs of each."""

Statistic = Callable[[Values], float]
"""From the values of some faces to one number; NaN where these faces give none."""

Resampler = Callable[[Values, npt.NDArray[np.int64]], Values]
"""From N faces' values and (D, M) picks among them to D numbers; NaN where a draw gives none."""

_DRAWS = 2000
_PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """A number over ``n`` faces, a mean unless said otherwise, with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def is_below_zero(self) -> bool:
        """The whole interval lies below zero."""
        return self.high < 0

    @property
    def is_above_zero(self) -> bool:
        """The whole interval lies above zero."""
        return self.low > 0


def estimate_mean(values: npt.ArrayLike, *, seed: int = 0) -> Estimate:
    """Mean over the faces that were measured.

    Raises:
        ValueError: no face was measured.
    """
    return estimate_over_sets([values], seed=seed)


def estimate_difference(
    values: npt.ArrayLike, reference: npt.ArrayLike, *, seed: int = 0
) -> Estimate:
    """Mean of the paired differences ``values - reference`` over faces measured on both sides.

    Raises:
        ValueError: no face was, or the two are not of the same faces.
    """
    return estimate_over_sets([paired_differences(values, reference)], seed=seed)


def paired_differences(values: npt.ArrayLike, reference: npt.ArrayLike) -> Values:
    """(N,) ``values - reference``; zero where both are equal, be it infinite.

    Raises:
        ValueError: the two have different numbers of faces.
    """
    ours, theirs = (np.asarray(side, dtype=np.float64) for side in (values, reference))
    if ours.shape != theirs.shape:
        raise ValueError(f"{len(ours)} and {len(theirs)} faces cannot be paired; measure the same")
    with np.errstate(invalid="ignore"):  # inf - inf: two images that both equal the original
        differences: Values = np.where(ours == theirs, 0.0, ours - theirs)
    return differences


def estimate_over_sets(
    sets: Sequence[npt.ArrayLike],
    statistic: Statistic | None = None,
    *,
    resampler: Resampler | None = None,
    seed: int = 0,
) -> Estimate:
    """Mean of what the sets give, every set counting the same; faces are drawn within their set.

    Args:
        sets: The values of each set's faces.
        statistic: From a set's faces to its number; None is their mean. Draws on which it gives
            NaN in any set are left out of the interval.
        resampler: Gives the statistic of all draws at once; None takes it of one after the other.
        seed: Of the draws.

    Raises:
        ValueError: a set holds no measured face, or the statistic has no value on it.
    """
    samples = [_measured(values) for values in sets]
    rng = np.random.default_rng(seed)
    drawn = np.mean([_draw(sample, statistic, resampler, rng) for sample in samples], axis=0)
    drawn = drawn[~np.isnan(drawn)]
    centres = [_mean(sample) if statistic is None else statistic(sample) for sample in samples]
    count = sum(map(len, samples))
    if not len(drawn) or np.isnan(centres).any():
        raise ValueError(f"the statistic has no value on these {count} faces; measure more of them")
    low, high = _interval(drawn)
    return Estimate(float(np.mean(centres)), low, high, count)


def count_measured(values: npt.ArrayLike) -> int:
    """Number of faces that were measured."""
    sample = np.asarray(values, dtype=np.float64)
    return int((~np.isnan(sample.reshape(len(sample), -1)).any(1)).sum())


def _measured(values: npt.ArrayLike) -> Values:
    faces: Values = np.asarray(values, dtype=np.float64)
    sample: Values = faces[~np.isnan(faces.reshape(len(faces), -1)).any(1)]
    if not len(sample):
        raise ValueError("no face was measured; an estimate needs at least one")
    return sample


def _draw(
    sample: Values,
    statistic: Statistic | None,
    resampler: Resampler | None,
    rng: np.random.Generator,
) -> Values:
    picks = rng.integers(len(sample), size=(_DRAWS, len(sample)))
    if resampler is not None:
        return resampler(sample, picks)
    if statistic is None:
        means: Values = sample[picks].mean(1)
        return means
    return np.array([statistic(sample[pick]) for pick in picks])


def _mean(sample: Values) -> float:
    return float(sample.mean())


def _interval(drawn: Values) -> tuple[float, float]:
    # Interpolating between infinities (a PSNR of equal images) would give NaN.
    method = "linear" if np.isfinite(drawn).all() else "nearest"
    low, high = np.percentile(drawn, _PERCENTILES, method=method)  # type: ignore[call-overload]
    return float(low), float(high)
