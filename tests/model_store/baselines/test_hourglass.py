import numpy as np
import pytest
import torch
from torch import nn

from model_store.baselines.hourglass import Hourglass
from tests.model_store.baselines.slow_layers import (
    Array,
    Weights,
    bilinear_x2_aligned,
    conv,
    max_pool_x2,
    nearest_x2,
    weights_of,
)


def slow_hourglass(
    features: Array, weights: Weights, name: str, *, depth: int, upsampling: str
) -> Array:
    lower = conv(max_pool_x2(features), weights, f"{name}before")
    if depth > 1:
        lower = slow_hourglass(
            lower, weights, f"{name}inner.", depth=depth - 1, upsampling=upsampling
        )
    else:
        lower = conv(lower, weights, f"{name}inner")
    enlarge = nearest_x2 if upsampling == "nearest" else bilinear_x2_aligned
    return conv(features, weights, f"{name}skip") + enlarge(conv(lower, weights, f"{name}after"))


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
@pytest.mark.parametrize("depth", [1, 3])
def test_it_equals_an_independent_slow_one(upsampling: str, depth: int) -> None:
    hourglass = Hourglass(
        depth,
        lambda: nn.Conv2d(3, 3, kernel_size=3, padding=1),
        upsampling="nearest" if upsampling == "nearest" else "bilinear",
    ).double()
    features = torch.randn(1, 3, 16, 8, dtype=torch.float64)

    with torch.no_grad():
        result = hourglass(features)[0].numpy()
    expected = slow_hourglass(
        features[0].numpy(), weights_of(hourglass), "", depth=depth, upsampling=upsampling
    )

    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_it_is_made_of_three_blocks_a_size_and_one_at_the_bottom() -> None:
    made: list[nn.Module] = []

    def new_block() -> nn.Module:
        made.append(nn.Identity())
        return made[-1]

    Hourglass(4, new_block, upsampling="nearest")
    assert len(made) == 13
