"""The One-Euro filter (Casiez, Roussel and Vogel, CHI 2012): steady at rest, prompt in motion."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class OneEuroSettings:
    """What is filtered how much; the names are the paper's.

    Attributes:
        min_cutoff_hz: of what is at rest; lower is steadier.
        beta: how much the cutoff rises with speed, in Hz for a unit a second; higher lags less.
        derivative_cutoff_hz: of the speed itself.
    """

    min_cutoff_hz: float = 1.0
    beta: float = 0.0
    derivative_cutoff_hz: float = 1.0


class OneEuroFilter:
    """Filters a vector of values, each by its own speed."""

    def __init__(self, settings: OneEuroSettings) -> None:
        self._settings = settings
        self._values: Values | None = None
        self._speeds: Values | None = None

    def update(self, values: Values, *, seconds: float) -> Values:
        """Filter the next values, which come so long after the ones before.

        Raises:
            ValueError: no time has passed since the values before.
        """
        if self._values is None or self._speeds is None:
            self._values, self._speeds = values.copy(), np.zeros_like(values)
            return values.copy()
        if seconds <= 0:
            raise ValueError(f"{seconds} seconds have passed since the last values; time goes on")
        settings = self._settings
        share = _share(np.full_like(values, settings.derivative_cutoff_hz), seconds)
        speeds = (values - self._values) / seconds
        self._speeds = share * speeds + (1 - share) * self._speeds
        share = _share(settings.min_cutoff_hz + settings.beta * np.abs(self._speeds), seconds)
        self._values = share * values + (1 - share) * self._values
        return self._values.copy()


def _share(cutoff_hz: Values, seconds: float) -> Values:
    """What part of a new value counts, at a cutoff frequency (the paper's alpha)."""
    smoothing_seconds = 1 / (2 * math.pi * cutoff_hz)
    share: Values = 1 / (1 + smoothing_seconds / seconds)
    return share
