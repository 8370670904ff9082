import math

import numpy as np
import pytest

from service.video.one_euro import OneEuroFilter, OneEuroSettings

SETTINGS = OneEuroSettings(min_cutoff_hz=1.5, beta=0.7, derivative_cutoff_hz=1.2)


def slow_reference(signal: list[float], *, seconds: float) -> list[float]:
    """The pseudo-code of Casiez et al. (2012), figure 1, for one value."""

    def alpha(cutoff: float) -> float:
        tau = 1 / (2 * math.pi * cutoff)
        return 1 / (1 + tau * (1 / seconds))

    filtered = [signal[0]]
    derivative = 0.0
    for value in signal[1:]:
        speed = (value - filtered[-1]) * (1 / seconds)
        derivative = alpha(1.2) * speed + (1 - alpha(1.2)) * derivative
        cutoff = 1.5 + 0.7 * abs(derivative)
        filtered.append(alpha(cutoff) * value + (1 - alpha(cutoff)) * filtered[-1])
    return filtered


def test_each_value_is_filtered_as_the_paper_says() -> None:
    rng = np.random.default_rng(0)
    signals = rng.normal(size=(2, 30)).cumsum(1)
    one_euro = OneEuroFilter(SETTINGS)
    filtered = [one_euro.update(signals[:, k], seconds=0.04) for k in range(30)]
    for row, signal in enumerate(signals):
        assert np.array(filtered)[:, row] == pytest.approx(
            slow_reference(signal.tolist(), seconds=0.04)
        )


def test_what_stays_stays() -> None:
    one_euro = OneEuroFilter(SETTINGS)
    for _ in range(5):
        assert one_euro.update(np.array([3.0, -2.0]), seconds=0.04).tolist() == [3, -2]


def test_time_that_does_not_pass_is_refused() -> None:
    one_euro = OneEuroFilter(SETTINGS)
    one_euro.update(np.array([1.0]), seconds=0)
    with pytest.raises(ValueError, match="0 seconds have passed"):
        one_euro.update(np.array([1.0]), seconds=0)
