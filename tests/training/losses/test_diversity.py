import pytest
import torch

from training.losses.diversity import head_diversity


def test_heads_cost_one_over_their_mean_squared_difference() -> None:
    maps = torch.zeros(3, 2, 1, 2, 2)
    maps[1] += 0.2
    maps[2] += 0.5
    # Pairs differ by 0.2, 0.5 and 0.3.
    assert head_diversity(maps).item() == pytest.approx(3 / (0.04 + 0.25 + 0.09), rel=1e-5)


def test_equal_heads_cost_much_and_are_driven_apart() -> None:
    maps = torch.full((2, 1, 1, 2, 2), 0.5)
    assert head_diversity(maps).item() == pytest.approx(1e8)
    maps[1, 0, 0, 0, 0] += 0.1
    maps.requires_grad_(True)
    head_diversity(maps).backward()
    assert maps.grad is not None
    assert maps.grad[1, 0, 0, 0, 0] < 0 < maps.grad[0, 0, 0, 0, 0]


def test_one_head_has_nothing_to_differ_from() -> None:
    with pytest.raises(ValueError, match="1 heads cannot differ"):
        head_diversity(torch.zeros(1, 2, 1, 2, 2))
