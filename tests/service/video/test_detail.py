from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from model_store.image_tensor import RgbImage
from service.video.detail import SteadyDetail


def noisy(rng: np.random.Generator, level: int = 100, sigma: float = 2) -> RgbImage:
    values = level + rng.normal(0, sigma, (32, 40, 3))
    return np.rint(values).clip(0, 255).astype(np.uint8)


def flicker(frames: list[RgbImage]) -> float:
    floats: list[npt.NDArray[np.float64]] = [frame.astype(np.float64) for frame in frames[5:]]
    return float(np.mean([abs(a - b).mean() for a, b in pairwise(floats)]))


def test_first_frame_is_the_networks() -> None:
    rng = np.random.default_rng(0)
    plain, upscaled = noisy(rng), noisy(rng, 120)
    assert np.array_equal(SteadyDetail().update(plain, upscaled), upscaled)


def test_detail_that_is_made_of_noise_flickers_hardly_more_than_the_noise() -> None:
    rng = np.random.default_rng(0)
    detail = SteadyDetail()
    plain = [noisy(rng) for _ in range(20)]
    # A network that triples what noise there is.
    upscaled = [noisy(rng, sigma=6) for _ in plain]
    steady = [detail.update(*pair) for pair in zip(plain, upscaled, strict=True)]
    assert flicker(upscaled) > 2.5 * flicker(plain)
    assert flicker(steady) < 1.2 * flicker(plain)


def test_detail_follows_at_once_where_the_face_moves() -> None:
    before, after = np.full((32, 40, 3), 60, np.uint8), np.full((32, 40, 3), 60, np.uint8)
    after[:, 20:] = 120
    detail = SteadyDetail()
    detail.update(before, before + 10)
    result = detail.update(after, after - 10)
    assert (result[:, 30:] == 110).all()
    # On the still side most of the detail before is kept.
    assert result[:, :10] == pytest.approx(66)


def test_result_stays_within_bytes() -> None:
    detail = SteadyDetail()
    black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    detail.update(black, white)
    assert detail.update(black, white).max() == 255
    assert detail.update(white, black).min() == 0
