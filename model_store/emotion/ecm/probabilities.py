"""Expression probabilities: what rows are taken for such, and their entropy."""

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float64]
"""(N, C) float64: N faces' probabilities of C expressions; each row sums to 1."""

# A softmax in float32 misses 1 by at most some 1e-6, probabilities written with six decimals by
# 4e-6. Rows are taken as they are, not scaled.
SUM_TOLERANCE = 1e-5


def checked_probabilities(values: npt.ArrayLike, *, name: str = "probabilities") -> Probabilities:
    """Return (N, C) values as contiguous float64 in [0, 1].

    A value above 1 by no more than the tolerance, as rounding gives it, becomes 1.

    Args:
        values: Rows of probabilities.
        name: What messages call them.

    Raises:
        ValueError: not two-dimensional, no row or no column, a value that is NaN, infinite or
            negative, or a row whose sum is off 1 by more than 1e-5.
    """
    rows = np.array(values, dtype=np.float64, order="C")
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(
            f"{name} have the shape {rows.shape}; give (N, C) with at least one face and one class"
        )
    if not np.isfinite(rows).all():
        raise ValueError(f"{name}: row {_first(~np.isfinite(rows).all(1))} holds NaN or infinity")
    if rows.min() < 0:
        row = _first((rows < 0).any(1))
        raise ValueError(f"{name}: row {row} holds {rows[row].min():g}; none may be negative")
    sums = rows.sum(1)
    is_off = np.abs(sums - 1) > SUM_TOLERANCE
    if is_off.any():
        row = _first(is_off)
        raise ValueError(
            f"{name}: row {row} sums to {sums[row]:.7g}; a row must sum to 1 within "
            f"{SUM_TOLERANCE:g}: give probabilities, not logits"
        )
    return np.minimum(rows, 1.0)


def checked_pairs(
    original: npt.ArrayLike, super_resolved: npt.ArrayLike
) -> tuple[Probabilities, Probabilities]:
    """Return both sides of N pairs, checked.

    Raises:
        ValueError: a side is no probabilities, or the two have different shapes.
    """
    first = checked_probabilities(original, name="original's probabilities")
    second = checked_probabilities(super_resolved, name="super-resolved's probabilities")
    if first.shape != second.shape:
        raise ValueError(
            f"originals are {first.shape} and super-resolved {second.shape} (faces, classes); "
            "every original needs its one result, read by the same classifier"
        )
    return first, second


def entropy(probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """(N, C) -> (N,) Shannon entropy of each row in nats; 0 ln 0 = 0.

    "The entropy of the logits" (III-A) is that of their softmax: logits have none.
    """
    # A zero is given the logarithm 0; abs turns the -0.0 of a certain row into 0.0.
    logarithms = np.log(probabilities, where=probabilities > 0, out=np.zeros(probabilities.shape))
    nats: npt.NDArray[np.float64] = np.abs((probabilities * logarithms).sum(-1))
    return nats


def _first(is_bad: npt.NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(is_bad)[0])
