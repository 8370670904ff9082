import pytest
import torch

from training.quality import calibration_error, mouth_opening


def test_mouth_opening_is_in_interocular_distances() -> None:
    """Everything in one place but the outer eye corners, 0.4 apart, and the lower inner lip."""
    face = torch.zeros(1, 478, 3)
    face[0, 33, 0], face[0, 263, 0] = 0.3, 0.7
    face[0, 14, 1] = 0.02
    assert mouth_opening(face).item() == pytest.approx(0.05, abs=1e-5)


def test_calibration_error_of_known_cases() -> None:
    confidence = torch.tensor([0.95, 0.95, 0.15, 0.15])
    right = torch.tensor([True, True, False, False])
    assert calibration_error(confidence, right) == pytest.approx(0.1, abs=1e-6)
    assert calibration_error(confidence, ~right) == pytest.approx(0.9, abs=1e-6)
    half = torch.tensor([True, False, True, False])
    assert calibration_error(torch.full((4,), 0.5), half) == pytest.approx(0, abs=1e-6)
