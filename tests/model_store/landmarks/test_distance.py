import pytest
import torch

from model_store.landmarks.distance import normalised_mean_error


def face() -> torch.Tensor:
    """Everything in one place but the outer eye corners, which are 0.4 apart."""
    truth = torch.zeros(1, 478, 3)
    truth[0, 33, 0], truth[0, 263, 0] = 0.3, 0.7
    return truth


def test_landmark_error_is_in_interocular_distances() -> None:
    truth = face()
    moved = truth.clone()
    moved[..., 1] += 0.04
    moved[..., 2] += 9  # depth does not count
    assert normalised_mean_error(moved, truth).item() == pytest.approx(0.1, abs=1e-5)
    assert normalised_mean_error(moved.numpy(), truth.numpy()) == pytest.approx([0.1], abs=1e-5)


def test_landmark_error_of_a_region_counts_its_nodes_alone() -> None:
    truth = face()
    moved = truth.clone()
    moved[0, 0, 0] += 0.08
    moved[0, 17, 1] += 0.04
    assert normalised_mean_error(moved, truth, nodes=(0,)).item() == pytest.approx(0.2)
    assert normalised_mean_error(moved, truth, nodes=(0, 17)).item() == pytest.approx(0.15)
    assert normalised_mean_error(moved, truth, nodes=(61,)).item() == 0
