import math

import torch

from model_store.landmarks.ibug import IBUG_68
from training.data.heatmaps import draw_heatmaps


def test_a_heatmap_is_a_gaussian_about_its_landmark() -> None:
    landmarks = torch.rand(2, 478, 3)
    heatmaps = draw_heatmaps(landmarks, side_px=16)
    assert heatmaps.shape == (2, 68, 16, 16)
    for face, channel, row, column in ((0, 0, 3, 5), (1, 67, 15, 0), (1, 30, 8, 8)):
        x, y = (16 * landmarks[face, IBUG_68[channel], :2]).tolist()
        squared = (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2
        expected = math.exp(-squared / 2)
        assert math.isclose(heatmaps[face, channel, row, column], expected, abs_tol=1e-6)


def test_the_peak_is_the_pixel_that_holds_the_landmark() -> None:
    landmarks = torch.full((1, 478, 3), 0.5)
    landmarks[0, IBUG_68[8], :2] = torch.tensor([(20 + 0.5) / 32, (28 + 0.5) / 32])  # x, y
    chin = draw_heatmaps(landmarks, side_px=32)[0, 8]
    assert chin[28, 20] == 1
    assert int(chin.argmax()) == 28 * 32 + 20


def test_a_landmark_beyond_the_image_leaves_its_tail() -> None:
    landmarks = torch.full((1, 478, 3), 0.5)
    landmarks[0, IBUG_68[0], 0] = -0.5 / 32  # half a pixel beyond the left border
    jaw = draw_heatmaps(landmarks, side_px=32)[0, 0]
    assert math.isclose(jaw.max(), math.exp(-0.5) * math.exp(-0.125), abs_tol=1e-6)
    assert draw_heatmaps(torch.full((1, 478, 3), 3.0), side_px=32).max() < 1e-6
