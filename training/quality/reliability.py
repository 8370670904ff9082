"""Whether probabilities can be taken at their word: of what is called p, a share p comes true."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from training.quality.estimates import Estimate, Values, estimate_mean
from training.quality.landmarks import calibration_error

_NUM_BINS = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """The cases that were given a probability between two tenths.

    Attributes:
        said: Mean of their probabilities.
        share: Of them that came true.
    """

    said: float
    share: Estimate


@dataclass(frozen=True)
class Reliability:
    """Probabilities of N cases beside what became of them.

    Attributes:
        bins: Those of the ten bins that hold a case, from the lowest.
        calibration_error: Mean over the cases of |said - share| of their bin (ECE).
        brier: Mean squared distance of a probability from what became of it (1 or 0).
        base_brier: The same of one who always says the share that comes true.
        share: That came true.
    """

    bins: tuple[ReliabilityBin, ...]
    calibration_error: float
    brier: Estimate
    base_brier: float
    share: Estimate


def measure_reliability(probabilities: Values, came_true: npt.NDArray[np.bool_]) -> Reliability:
    """Compare (N,) probabilities with (N,) outcomes.

    Raises:
        ValueError: there is no case.
    """
    if not len(probabilities):
        raise ValueError("there is no case to compare; a reliability needs at least one")
    outcomes = came_true.astype(np.float64)
    share = estimate_mean(outcomes)
    return Reliability(
        bins=tuple(_bins(probabilities, outcomes)),
        calibration_error=calibration_error(
            torch.from_numpy(probabilities), torch.from_numpy(outcomes)
        ),
        brier=estimate_mean(np.square(probabilities - outcomes)),
        base_brier=share.mean * (1 - share.mean),
        share=share,
    )


def _bins(probabilities: Values, outcomes: Values) -> Iterator[ReliabilityBin]:
    index = np.minimum((probabilities * _NUM_BINS).astype(int), _NUM_BINS - 1)
    for place in range(_NUM_BINS):
        inside = index == place
        if inside.any():
            yield ReliabilityBin(
                float(probabilities[inside].mean()), estimate_mean(outcomes[inside])
            )
