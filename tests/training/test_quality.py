import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from model_store.image_tensor import images_to_tensor
from training.quality import (
    calibration_error,
    estimate_mean,
    luma,
    mouth_opening,
    normalised_mean_error,
    psnr,
    ssim,
)

# MATLAB's rgb2ycbcr of 8-bit primaries, before rounding: (R, G, B) -> Y.
MATLAB_Y = {
    (0, 0, 0): 16.0,
    (255, 255, 255): 235.0,
    (255, 0, 0): 81.481,
    (0, 255, 0): 144.553,
    (0, 0, 255): 40.966,
}


@pytest.mark.parametrize(("rgb", "expected"), MATLAB_Y.items())
def test_luma_is_matlabs(rgb: tuple[int, int, int], expected: float) -> None:
    pixel = torch.tensor(rgb, dtype=torch.float32)[None, :, None, None] / 255
    assert luma(pixel).item() == pytest.approx(expected, abs=1e-3)


def test_psnr_of_a_known_difference() -> None:
    reference = torch.full((2, 32, 32), 100.0)
    image = reference.clone()
    image[0] += 5
    image[1, :8] += 99  # lies in the border that is cropped
    values = psnr(image, reference)
    assert values[0].item() == pytest.approx(20 * math.log10(255 / 5))
    assert math.isinf(values[1].item())


def test_psnr_and_ssim_agree_with_scikit_image() -> None:
    rng = np.random.default_rng(0)
    reference = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    image = np.clip(reference + rng.normal(0, 10, reference.shape), 0, 255).astype(np.uint8)
    weights = np.array([65.481, 128.553, 24.966]) / 255
    planes = [(i @ weights + 16)[8:-8, 8:-8] for i in (reference, image)]
    ours = psnr(*(luma(images_to_tensor([i])) for i in (image, reference))).item()
    assert ours == pytest.approx(peak_signal_noise_ratio(*planes, data_range=255), abs=1e-3)
    assert ssim(image, reference) == pytest.approx(structural_similarity(*planes, data_range=255))


def test_landmark_error_is_in_interocular_distances() -> None:
    truth = torch.zeros(1, 478, 3)
    truth[0, 33, 0], truth[0, 263, 0] = 0.3, 0.7  # outer eye corners, 0.4 apart
    moved = truth.clone()
    moved[..., 1] += 0.04
    moved[..., 2] += 9  # depth does not count
    assert normalised_mean_error(moved, truth).item() == pytest.approx(0.1, abs=1e-5)
    truth[0, 14, 1] = 0.02  # the lower inner lip
    assert mouth_opening(truth).item() == pytest.approx(0.05, abs=1e-5)


def test_calibration_error_of_known_cases() -> None:
    confidence = torch.tensor([0.95, 0.95, 0.15, 0.15])
    right = torch.tensor([True, True, False, False])
    assert calibration_error(confidence, right) == pytest.approx(0.1, abs=1e-6)
    assert calibration_error(confidence, ~right) == pytest.approx(0.9, abs=1e-6)
    half = torch.tensor([True, False, True, False])
    assert calibration_error(torch.full((4,), 0.5), half) == pytest.approx(0, abs=1e-6)


def test_the_interval_holds_the_mean_and_narrows_with_faces() -> None:
    values = np.random.default_rng(0).normal(3, 1, 400)
    many, few = estimate_mean(values), estimate_mean(values[:25])
    assert many.low < many.mean < many.high
    assert many.high - many.low == pytest.approx(2 * 1.96 / 20, rel=0.15)
    assert few.high - few.low > many.high - many.low
    assert many.n == 400
    assert many == estimate_mean(values)
