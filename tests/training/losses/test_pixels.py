import math

import numpy as np
import pytest
import torch

from model_store.landmarks.topology import EYEBROWS, LEFT_EYE, MOUTH, NOSE, RIGHT_EYE
from training.losses.pixels import (
    expressive_regions,
    l1_distance,
    log_squared_error,
    region_distance,
)

EXPRESSIVE = {*MOUTH, *LEFT_EYE, *RIGHT_EYE, *EYEBROWS}


def test_l1_of_a_case_done_by_hand() -> None:
    sr, hr = torch.zeros(2, 3, 1, 2), torch.zeros(2, 3, 1, 2)
    sr[0, 0] = torch.tensor([0.5, -1.0])
    torch.testing.assert_close(l1_distance(sr, hr), torch.tensor([0.25, 0.0]))


def test_log_squared_error_falls_with_psnr_and_is_finite_for_equal_images() -> None:
    hr = torch.zeros(2, 3, 4, 4)
    near, far = (log_squared_error(torch.full_like(hr, e), hr)[0] for e in (0.01, 0.1))
    # Ten times the error are 20 dB; a decibel is ln(10) / 10.
    assert float(far - near) == pytest.approx(20 * math.log(10) / 10, rel=1e-3)
    assert torch.isfinite(log_squared_error(hr, hr)).all()


def test_the_mask_equals_a_loop_over_pixels_and_landmarks() -> None:
    landmarks = torch.rand(2, 478, 3, generator=torch.Generator().manual_seed(0))
    mask = expressive_regions(landmarks, height=6, width=9).numpy()
    assert mask.shape == (2, 1, 6, 9)
    for face in range(2):
        for row in range(6):
            for column in range(9):
                density = 0.0
                for index in EXPRESSIVE:
                    x, y, _ = landmarks[face, index].tolist()
                    squared = ((column + 0.5) / 9 - x) ** 2 + ((row + 0.5) / 6 - y) ** 2
                    density += math.exp(-squared / (2 * 0.05**2))
                expected = 1 - math.exp(-density)
                np.testing.assert_allclose(mask[face, 0, row, column], expected, atol=1e-5)


def test_the_mask_lies_about_eyes_brows_and_mouth_and_nowhere_else() -> None:
    landmarks = torch.full((1, 478, 3), 0.1)
    places = {(96, 64): MOUTH, (50, 40): RIGHT_EYE, (50, 88): LEFT_EYE, (36, 64): EYEBROWS}
    for (row, column), group in places.items():
        landmarks[0, list(group), 0] = (column + 0.5) / 128
        landmarks[0, list(group), 1] = (row + 0.5) / 128
    mask = expressive_regions(landmarks, height=128, width=128)[0, 0]
    assert all(float(mask[place]) > 0.99 for place in places)
    assert float(mask[70, 64]) < 0.02  # where a nose would be
    assert float(mask[12, 12]) < 0.02  # where all other landmarks are here, the nose's among them
    assert not set(NOSE) & EXPRESSIVE
    # Smooth: it falls off over many pixels, not at an edge.
    falling = mask[96, 64:100]
    assert float(falling.diff().max()) <= 0
    assert float(falling.diff().min()) > -0.2


def test_only_what_differs_under_the_mask_counts() -> None:
    mask = torch.zeros(1, 1, 2, 2)
    mask[0, 0, 0] = torch.tensor([1.0, 0.5])
    hr = torch.zeros(1, 3, 2, 2)
    outside, inside = hr.clone(), hr.clone()
    outside[:, :, 1] = 1.0
    inside[:, :, 0, 1] = 0.6
    assert float(region_distance(outside, hr, mask)) == 0
    assert float(region_distance(inside, hr, mask)) == pytest.approx(0.6 * 0.5 / 1.5)


def test_a_mask_of_ones_gives_the_l1_distance() -> None:
    sr, hr = torch.rand(2, 2, 3, 4, 4)
    torch.testing.assert_close(region_distance(sr, hr, torch.ones(2, 1, 4, 4)), l1_distance(sr, hr))
