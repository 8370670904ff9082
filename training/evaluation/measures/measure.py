"""The seam between what is measured and who reports it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from model_store.image_tensor import RgbImage
from training.evaluation.faces import FaceSet
from training.quality import (
    Estimate,
    Resampler,
    Statistic,
    Values,
    estimate_over_sets,
    paired_differences,
)


@dataclass(frozen=True)
class Column:
    """One number that a measure gives of a model on a set.

    Attributes:
        name: Key in reports and manifests, with its unit: "psnr_db".
        title: What a reader sees.
        basis: By which protocol, against what, by whom: what a number is not comparable without.
        higher_is_better: Which way is better; None for what only describes.
        decimals: Digits behind the point.
        statistic: From the faces' values to the number; None is their mean.
        resampler: The statistic of many draws at once, for the interval; None takes it one by one.
    """

    name: str
    title: str
    basis: str
    higher_is_better: bool | None
    decimals: int
    statistic: Statistic | None = None
    resampler: Resampler | None = None

    def estimate(self, sets: Sequence[Values]) -> Estimate | None:
        """The number over one set, or the mean of several sets' numbers.

        None where no face of a set was measured, or the statistic has no value on them.
        """
        return _estimate(sets, self.statistic, self.resampler)

    def difference(self, pairs: Sequence[tuple[Values, Values]]) -> Estimate | None:
        """The first minus the second of each pair, both of the same faces, over one set or more.

        None where no face of a set was measured on both sides.
        """
        statistic = self.statistic
        if statistic is None:
            return self.estimate([paired_differences(ours, theirs) for ours, theirs in pairs])
        joined = [np.concatenate(pair, axis=1) for pair in pairs]
        width = joined[0].shape[1] // 2
        resampler = self.resampler
        return _estimate(
            joined,
            lambda rows: statistic(rows[:, :width]) - statistic(rows[:, width:]),
            None
            if resampler is None
            else lambda rows, picks: (
                resampler(rows[:, :width], picks) - resampler(rows[:, width:], picks)
            ),
        )

    def is_worse(self, difference: Estimate) -> bool:
        """Whether a difference lies on the worse side of zero with its whole interval."""
        if self.higher_is_better is None:
            return False
        return difference.is_below_zero if self.higher_is_better else difference.is_above_zero


class FaceMeasure(Protocol):
    """Compares a model's images with the originals, face by face.

    Attributes:
        columns: What it gives, in the order in which it is shown.
    """

    columns: tuple[Column, ...]

    def measure(self, images: Sequence[RgbImage], faces: FaceSet) -> Mapping[str, Values]:
        """Return each column's values by its name, in the set's order.

        A column's values are (N,), or (N, K) where it has a statistic. NaN stands for a face that
        could not be measured; it is left out and counted.
        """


def _estimate(
    sets: Sequence[Values], statistic: Statistic | None, resampler: Resampler | None
) -> Estimate | None:
    try:
        return estimate_over_sets(sets, statistic, resampler=resampler)
    except ValueError:  # what it says of the faces, the report says by the missing number
        return None
