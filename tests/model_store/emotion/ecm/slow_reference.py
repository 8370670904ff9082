"""The metric once more, number by number in plain Python, and sets of pairs to try it on."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

Rows = Sequence[Sequence[float]]
Array = npt.NDArray[np.float64]


def ecm_terms(original: Rows, super_resolved: Rows) -> tuple[list[float], float]:
    """L_H class by class, and L_conf."""
    count = len(original)
    l_h = []
    for column in range(len(original[0])):
        ours = _density([row[column] for row in original])
        theirs = _density([row[column] for row in super_resolved])
        l_h.append(sum((a - b) ** 2 for a, b in zip(ours, theirs, strict=True)))
    pairs = zip(original, super_resolved, strict=True)
    return l_h, sum(abs(_entropy(a) - _entropy(b)) for a, b in pairs) / count


def _density(values: Sequence[float]) -> list[float]:
    histogram, _ = np.histogram(values, bins=10, range=(0, 1), density=True)
    return [float(height) for height in histogram]


def _entropy(row: Sequence[float]) -> float:
    return -sum(p * math.log(p) for p in row if p > 0)


@st.composite
def pairs(
    draw: st.DrawFn, *, min_size: int = 1, max_size: int = 12, num_classes: int = 3
) -> tuple[Array, Array]:
    """Two (N, C) arrays of probabilities, many of them on the bins' edges, 0 or 1."""
    count = draw(st.integers(min_size, max_size))
    row = st.lists(st.integers(0, 10), min_size=num_classes, max_size=num_classes).filter(any)
    rows = st.lists(row, min_size=count, max_size=count)
    first, second = (np.array(draw(rows), dtype=np.float64) for _ in range(2))
    return first / first.sum(1, keepdims=True), second / second.sum(1, keepdims=True)


def noisy_pairs(
    count: int, *, seed: int, noise: float, bias: float = 0.0, num_classes: int = 7
) -> tuple[Array, Array]:
    """Readings of faces, and the same with noise and a lean towards the first class."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2.5, (count, num_classes))
    moved = logits + rng.normal(0, noise, logits.shape)
    moved[:, 0] += bias
    return _softmax(logits), _softmax(moved)


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    shares: Array = powers / powers.sum(1, keepdims=True)
    return shares
