"""A small identity MobileFaceNet in the layout of the public code, and what it computes.

Written layer by layer from the tensors' names, so that it shares nothing with the network that it
is compared with.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model_store.emotion.mobilefacenet import MobileFaceNetConfig

TINY = MobileFaceNetConfig(stem_width=4, widths=(4, 6, 6), blocks=(1, 2, 1), num_features=10)
PUBLISHED = MobileFaceNetConfig()


def identity_weights(config: MobileFaceNetConfig, *, seed: int = 0) -> dict[str, Tensor]:
    """Random weights with lively batch norm statistics, by the public code's names."""
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}

    def convolution(key: str, outputs: int, inputs: int, height: int, width: int) -> None:
        shape = (outputs, inputs, height, width)
        fan_in = inputs * height * width
        weights[f"{key}.weight"] = torch.randn(shape, generator=generator) / fan_in**0.5

    def norm(key: str, channels: int) -> None:
        for name, low, high in (
            ("weight", 0.7, 1.3),
            ("bias", -0.3, 0.3),
            ("running_mean", -0.3, 0.3),
            ("running_var", 0.5, 1.5),
        ):
            drawn = torch.rand(channels, generator=generator)
            weights[f"{key}.{name}"] = low + (high - low) * drawn
        weights[f"{key}.num_batches_tracked"] = torch.tensor(7)

    def slopes(key: str, channels: int) -> None:
        weights[f"{key}.weight"] = torch.rand(channels, generator=generator) * 0.5

    def block(name: str, outputs: int, inputs: int, height: int, width: int) -> None:
        convolution(f"{name}.conv", outputs, inputs, height, width)
        norm(f"{name}.bn", outputs)

    def bottleneck(number: int, inputs: int, outputs: int, expanded: int) -> None:
        name = f"blocks.{number}.conv"
        convolution(f"{name}.0", expanded, inputs, 1, 1)
        norm(f"{name}.1", expanded)
        slopes(f"{name}.2", expanded)
        convolution(f"{name}.3", expanded, 1, 3, 3)
        norm(f"{name}.4", expanded)
        slopes(f"{name}.5", expanded)
        convolution(f"{name}.6", outputs, expanded, 1, 1)
        norm(f"{name}.7", outputs)

    block("conv1", config.stem_width, 3, 3, 3)
    slopes("conv1.prelu", config.stem_width)
    block("dw_conv1", config.stem_width, 1, 3, 3)
    slopes("dw_conv1.prelu", config.stem_width)
    number, inputs = 0, config.stem_width
    for width, expansion, blocks in zip(
        config.widths, config.expansions, config.blocks, strict=True
    ):
        bottleneck(number, inputs, width, expansion * inputs)
        for _ in range(blocks):
            number += 1
            bottleneck(number, width, width, 2 * width)
        number, inputs = number + 1, width
    block("conv2", config.num_features, inputs, 1, 1)
    slopes("conv2.prelu", config.num_features)
    block("linear7", config.num_features, 1, 7, 6)
    block("linear1", 8, config.num_features, 1, 1)
    return weights


def stem_of(weights: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """What conv1 gives for (N, 3, h, w) pixels around 0."""
    features = F.conv2d(pixels, weights["conv1.conv.weight"], stride=2, padding=1)
    return F.prelu(_norm(weights, "conv1.bn", features), weights["conv1.prelu.weight"])


def map_of(
    weights: dict[str, Tensor], stem: Tensor, *, halving: frozenset[int], residual: frozenset[int]
) -> Tensor:
    """The map that conv2 gives, from what conv1 gave.

    `halving` and `residual` are the running numbers of the blocks that are so.
    """
    kernel = weights["dw_conv1.conv.weight"]
    features = F.conv2d(stem, kernel, padding=1, groups=len(kernel))
    features = _norm(weights, "dw_conv1.bn", features)
    features = F.prelu(features, weights["dw_conv1.prelu.weight"])
    for number in sorted(halving | residual):
        name = f"blocks.{number}.conv"
        inner = F.conv2d(features, weights[f"{name}.0.weight"])
        inner = F.prelu(_norm(weights, f"{name}.1", inner), weights[f"{name}.2.weight"])
        kernel = weights[f"{name}.3.weight"]
        stride = 2 if number in halving else 1
        inner = F.conv2d(inner, kernel, stride=stride, padding=1, groups=len(kernel))
        inner = F.prelu(_norm(weights, f"{name}.4", inner), weights[f"{name}.5.weight"])
        inner = _norm(weights, f"{name}.7", F.conv2d(inner, weights[f"{name}.6.weight"]))
        features = features + inner if number in residual else inner
    features = F.conv2d(features, weights["conv2.conv.weight"])
    return F.prelu(_norm(weights, "conv2.bn", features), weights["conv2.prelu.weight"])


def pooled_of(weights: dict[str, Tensor], features: Tensor) -> Tensor:
    """What linear7 makes of a map of 7 x 6: (N, C)."""
    kernel = weights["linear7.conv.weight"]
    pooled = F.conv2d(features, kernel, groups=len(kernel))
    return _norm(weights, "linear7.bn", pooled).flatten(1)


# Of TINY: block 1, blocks 3 and 4, and block 6 keep the size.
TINY_HALVING, TINY_RESIDUAL = frozenset({0, 2, 5}), frozenset({1, 3, 4, 6})
# Of the published network, by its settings (t, c, n, s) = (2, 64, 5, 2), (4, 128, 1, 2),
# (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1).
PUBLISHED_HALVING = frozenset({0, 5, 12})
PUBLISHED_RESIDUAL = frozenset(range(15)) - PUBLISHED_HALVING


def _norm(weights: dict[str, Tensor], key: str, features: Tensor) -> Tensor:
    mean, variance, gain, bias = (
        weights[f"{key}.{name}"][:, None, None]
        for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (features - mean) / torch.sqrt(variance + 1e-5) * gain + bias
