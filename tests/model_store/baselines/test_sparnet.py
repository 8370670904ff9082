import numpy as np
import pytest
import torch
from torch import nn

from model_store.baselines.sparnet import FaceAttentionUnit, Resampling, SPARNet, SPARNetConfig
from tests.model_store.baselines.slow_layers import (
    Array,
    Weights,
    batch_norm,
    conv,
    leaky_relu,
    nearest_x2,
    weights_of,
)


def scatter_statistics(module: nn.Module) -> None:
    """Give every batch norm statistics and weights that show when they are left out."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.5, 0.5)
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.uniform_(part.bias, -0.5, 0.5)


def slow_conv(
    features: Array, weights: Weights, name: str, resampling: Resampling = "keep"
) -> Array:
    if resampling == "up":
        features = nearest_x2(features)
    stride = 2 if resampling == "down" else 1
    return conv(features, weights, f"{name}.conv", stride=stride, border="reflect")


def slow_conv_norm_relu(
    features: Array, weights: Weights, name: str, resampling: Resampling = "keep"
) -> Array:
    convolved = slow_conv(features, weights, f"{name}.0", resampling)
    return leaky_relu(batch_norm(convolved, weights, f"{name}.1"), 0.2)


def slow_hourglass(features: Array, weights: Weights, name: str, *, depth: int) -> Array:
    skipped = slow_conv_norm_relu(features, weights, f"{name}.skip")
    lower = slow_conv_norm_relu(features, weights, f"{name}.down", "down")
    if depth > 1:
        lower = slow_hourglass(lower, weights, f"{name}.inner", depth=depth - 1)
    else:
        lower = slow_conv_norm_relu(lower, weights, f"{name}.inner")
    return skipped + slow_conv_norm_relu(lower, weights, f"{name}.up", "up")


def slow_unit(features: Array, weights: Weights, *, resampling: Resampling, depth: int) -> Array:
    """x + sigmoid(conv(hourglass(f))) * f with f = norm conv lrelu norm conv lrelu norm x."""
    first, second = ("keep", "down") if resampling == "down" else (resampling, "keep")
    change = leaky_relu(batch_norm(features, weights, "norm"), 0.2)
    change = slow_conv(change, weights, "conv1", first)
    change = leaky_relu(batch_norm(change, weights, "norm1"), 0.2)
    change = batch_norm(slow_conv(change, weights, "conv2", second), weights, "norm2")
    attention = slow_conv(
        slow_hourglass(change, weights, "attention.0", depth=depth), weights, "attention.1"
    )
    fitted = features
    if "fit.conv.weight" in weights:
        fitted = slow_conv(features, weights, "fit", resampling)
    return fitted + change / (1 + np.exp(-attention))


@pytest.mark.parametrize(
    ("resampling", "widths", "depth"),
    [("down", (2, 3), 2), ("keep", (3, 3), 2), ("keep", (2, 3), 1), ("up", (3, 2), 3)],
)
def test_a_unit_equals_an_independent_slow_one(
    resampling: Resampling, widths: tuple[int, int], depth: int
) -> None:
    unit = FaceAttentionUnit(
        *widths, resampling=resampling, attention_features=4, attention_depth=depth
    )
    scatter_statistics(unit)
    unit = unit.double().eval()
    features = torch.randn(1, widths[0], 16, 16, dtype=torch.float64)

    with torch.no_grad():
        result = unit(features)[0].numpy()
    expected = slow_unit(features[0].numpy(), weights_of(unit), resampling=resampling, depth=depth)

    np.testing.assert_allclose(result, expected, atol=1e-10)


def test_units_lead_from_128_to_16_px_and_back_and_attend_down_to_4_px() -> None:
    config = SPARNetConfig(
        scale=8, min_features=2, max_features=8, attention_features=2, num_body_units=2
    )
    network = SPARNet(config).eval()
    seen: list[tuple[int, int]] = []
    bottlenecks: list[int] = []
    for module in network.modules():
        if isinstance(module, FaceAttentionUnit):
            module.register_forward_hook(
                lambda _module, _inputs, out: seen.append((out.shape[1], out.shape[3]))
            )
            innermost = module.attention[0]
            while not isinstance(innermost.inner, nn.Sequential):
                innermost = innermost.inner
            innermost.inner.register_forward_hook(
                lambda _module, _inputs, out: bottlenecks.append(out.shape[3])
            )

    with torch.no_grad():
        network(torch.rand(1, 3, 16, 16))

    down, body, up = [(4, 64), (8, 32), (8, 16)], [(8, 16)] * 2, [(8, 32), (4, 64), (2, 128)]
    assert seen == [*down, *body, *up]
    assert bottlenecks == [4] * 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 16}, "scale is 16"),
        ({"min_features": 0}, "min_features is 0; it must be at least 1"),
        ({"max_features": 16}, "max_features is 16; it must be at least min_features, 32"),
        ({"attention_features": 0}, "attention_features is 0"),
        ({"num_body_units": 0}, "num_body_units is 0"),
    ],
)
def test_sizes_that_cannot_be_built_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SPARNetConfig(**{"scale": 8, **options})
