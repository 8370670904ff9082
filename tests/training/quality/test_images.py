import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from model_store.image_tensor import RgbImage, images_to_tensor
from training.quality import PROTOCOLS, SFMNET, SPARNET, QualityProtocol, luma, psnr, ssim

# MATLAB's rgb2ycbcr of 8-bit primaries, before rounding: (R, G, B) -> Y.
MATLAB_Y = {
    (0, 0, 0): 16.0,
    (255, 255, 255): 235.0,
    (255, 0, 0): 81.481,
    (0, 255, 0): 144.553,
    (0, 0, 255): 40.966,
}


def noisy_pair(side: int) -> tuple[RgbImage, RgbImage]:
    rng = np.random.default_rng(0)
    reference = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    noise = rng.normal(0, 10, reference.shape)
    return np.clip(reference + noise, 0, 255).astype(np.uint8), reference


def y_planes(pair: tuple[RgbImage, RgbImage], *, border: int) -> list[np.ndarray]:
    weights = np.array([65.481, 128.553, 24.966]) / 255
    return [(i @ weights + 16)[border : len(i) - border, border : len(i) - border] for i in pair]


@pytest.mark.parametrize(("rgb", "expected"), MATLAB_Y.items())
def test_luma_is_matlabs(rgb: tuple[int, int, int], expected: float) -> None:
    pixel = torch.tensor(rgb, dtype=torch.float32)[None, :, None, None] / 255
    assert luma(pixel).item() == pytest.approx(expected, abs=1e-3)


def test_psnr_of_a_known_difference() -> None:
    reference = torch.full((2, 32, 32), 100.0)
    image = reference.clone()
    image[0] += 5
    image[1, :8] += 99  # lies in the border that sfmnet crops
    values = psnr(image, reference)
    assert values[0].item() == pytest.approx(20 * math.log10(255 / 5))
    assert math.isinf(values[1].item())
    whole = psnr(image, reference, crop_border=SPARNET.crop_border)[1]
    assert whole.item() == pytest.approx(10 * math.log10(255**2 / (99**2 / 4)))


def test_rgb_psnr_is_of_the_mean_over_all_channels() -> None:
    reference = torch.full((1, 3, 16, 16), 100.0)
    image = reference.clone()
    image[:, 0] += 3
    image[:, 1] -= 4
    mean_squared = (9 + 16 + 0) / 3
    value = psnr(image, reference, crop_border=0).item()
    assert value == pytest.approx(10 * math.log10(255**2 / mean_squared))


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_psnr_agrees_with_scikit_image(protocol: QualityProtocol) -> None:
    pair = noisy_pair(64)
    ours = psnr(*(luma(images_to_tensor([i])) for i in pair), crop_border=protocol.crop_border)
    theirs = peak_signal_noise_ratio(*y_planes(pair, border=protocol.crop_border), data_range=255)
    assert ours.item() == pytest.approx(theirs, abs=1e-3)


def test_sfmnet_ssim_is_scikit_images_default_on_the_cropped_luma() -> None:
    pair = noisy_pair(64)
    expected = structural_similarity(*y_planes(pair, border=8), data_range=255)
    assert ssim(*pair, protocol=SFMNET) == pytest.approx(expected)


def test_sparnet_ssim_is_a_gaussian_window_slid_over_the_whole_luma() -> None:
    pair = noisy_pair(24)
    assert ssim(*pair, protocol=SPARNET) == pytest.approx(slow_ssim(*y_planes(pair, border=0)))


def slow_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Wang et al. (2004), equation 13, window by window as it is written there."""
    offsets = np.arange(-5, 6)
    squared = offsets[:, None] ** 2 + offsets[None] ** 2
    window = np.exp(-squared / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarities = []
    for top in range(len(first) - 10):
        for left in range(len(first) - 10):
            x = first[top : top + 11, left : left + 11]
            y = second[top : top + 11, left : left + 11]
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            covariance = (window * (x - mx) * (y - my)).sum()
            similarities.append(
                (2 * mx * my + c1) * (2 * covariance + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
            )
    return float(np.mean(similarities))


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_ssim_of_two_flat_images_is_the_luminance_term_alone(protocol: QualityProtocol) -> None:
    dark, light = (np.full((40, 40, 3), level, dtype=np.uint8) for level in (0, 255))
    c1 = (0.01 * 255) ** 2
    expected = (2 * 16 * 235 + c1) / (16**2 + 235**2 + c1)
    assert ssim(dark, light, protocol=protocol) == pytest.approx(expected)
    assert ssim(dark, dark, protocol=protocol) == pytest.approx(1)


def test_a_protocol_says_what_it_compares() -> None:
    assert SFMNET.description.startswith("Y of 8-bit images, 8 px border left out")
    assert "whole image; SSIM window Gaussian 11x11, sigma 1.5" in SPARNET.description
