import math

import torch
from torch import Tensor

from model_store.emotion.coordinate_attention import CoordinateAttention, StripGates


def lively(module: torch.nn.Module) -> None:
    """Give batch norms statistics and gains that do something."""
    torch.manual_seed(3)
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.normal_(std=0.3)
            norm.running_var.uniform_(0.5, 1.5)
            torch.nn.init.normal_(norm.weight, 1.0, 0.3)
            torch.nn.init.normal_(norm.bias, std=0.3)


def hard_swish(x: float) -> float:
    return x * min(max(x + 3, 0), 6) / 6


def slow_gate(gates: StripGates, pooled: list[float], convolution: torch.nn.Conv2d) -> list[float]:
    """One strip position: C means to C gates, number by number."""
    norm = gates.norm
    reduced = []
    for row in range(gates.reduce.out_channels):
        value = float(gates.reduce.bias[row])
        for column, pooled_value in enumerate(pooled):
            value += float(gates.reduce.weight[row, column, 0, 0]) * pooled_value
        assert norm.running_mean is not None
        assert norm.running_var is not None
        value = (value - float(norm.running_mean[row])) / math.sqrt(
            float(norm.running_var[row]) + norm.eps
        )
        reduced.append(hard_swish(value * float(norm.weight[row]) + float(norm.bias[row])))
    logits = [
        float(convolution.bias[channel])
        + sum(float(convolution.weight[channel, r, 0, 0]) * v for r, v in enumerate(reduced))
        for channel in range(convolution.out_channels)
    ]
    return [1 / (1 + math.exp(-logit)) for logit in logits]


def test_each_place_is_multiplied_by_the_gates_of_its_row_and_its_column() -> None:
    attention = CoordinateAttention(4).eval().requires_grad_(False)
    lively(attention)
    features = torch.randn(1, 4, 3, 5)
    result = attention(features)
    gates = attention.gates
    for i in range(3):
        row = slow_gate(gates, [float(features[0, c, i].mean()) for c in range(4)], gates.row_gate)
        for j in range(5):
            column = slow_gate(
                gates, [float(features[0, c, :, j].mean()) for c in range(4)], gates.column_gate
            )
            expected = torch.tensor(
                [float(features[0, c, i, j]) * row[c] * column[c] for c in range(4)]
            )
            torch.testing.assert_close(result[0, :, i, j], expected, atol=1e-5, rtol=1e-5)


def test_the_reduction_is_to_a_32nd_but_to_8_at_least() -> None:
    assert StripGates(64).reduce.out_channels == 8
    assert StripGates(1024).reduce.out_channels == 32


def test_gates_lie_between_0_and_1() -> None:
    gates: Tensor = StripGates(6).eval()(torch.randn(2, 6, 7, 1), torch.randn(2, 6, 1, 7))
    assert gates.shape == (2, 6, 7, 7)
    assert bool(((gates > 0) & (gates < 1)).all())
