"""DDAMFN in the layout of its authors' public code, and what it computes.

Written from the tensors' names with torch's functions alone. What the public code declares without
calling it is among the weights.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from model_store.emotion.mixed_feature_net import DDAMFNConfig

TINY = DDAMFNConfig(
    stem_width=4,
    widths=(4, 6, 12),
    expansions=(2, 4, 8),
    blocks=(2, 3, 2),
    num_features=10,
    depthwise_norm=False,
)
# Channels by kernel: first those of the block that halves, then those of the residual ones.
TINY_PARTS = (([4, 2, 2], [6, 2]), ([8, 4, 4], [9, 3]), ([12, 12, 12, 12], [8, 8, 8]))
PUBLIC = DDAMFNConfig(depthwise_norm=False)
PUBLIC_PARTS = (
    ([64, 32, 32], [96, 32]),
    ([128, 64, 64], [192, 64]),
    ([256, 256, 256, 256], [172, 170, 170]),
)
Parts = Sequence[tuple[list[int], list[int]]]
NUM_HEADS = 2


class _Drawer:
    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self.weights: dict[str, Tensor] = {}

    def convolution(self, key: str, *shape: int, has_bias: bool = False) -> None:
        fan_in = shape[1] * shape[2] * shape[3]
        drawn = torch.randn(shape, generator=self._generator)
        self.weights[f"{key}.weight"] = drawn / fan_in**0.5
        if has_bias:
            self.weights[f"{key}.bias"] = torch.randn(shape[0], generator=self._generator) / 4

    def norm(self, key: str, channels: int) -> None:
        for name, low, high in (
            ("weight", 0.7, 1.3),
            ("bias", -0.3, 0.3),
            ("running_mean", -0.3, 0.3),
            ("running_var", 0.5, 1.5),
        ):
            drawn = torch.rand(channels, generator=self._generator)
            self.weights[f"{key}.{name}"] = low + (high - low) * drawn
        self.weights[f"{key}.num_batches_tracked"] = torch.tensor(7)

    def block(self, key: str, *shape: int, has_slopes: bool) -> None:
        self.convolution(f"{key}.conv", *shape)
        self.norm(f"{key}.bn", shape[0])
        if has_slopes:
            drawn = torch.rand(shape[0], generator=self._generator)
            self.weights[f"{key}.prelu.weight"] = drawn / 2

    def gates(self, key: str, channels: int) -> None:
        reduced = max(8, channels // 32)
        self.convolution(f"{key}.conv1", reduced, channels, 1, 1, has_bias=True)
        self.norm(f"{key}.bn1", reduced)
        for name in ("conv2", "conv3"):
            self.convolution(f"{key}.{name}", channels, reduced, 1, 1, has_bias=True)

    def mixed_block(self, key: str, inputs: int, outputs: int, sizes: list[int]) -> None:
        channels = sum(sizes)
        self.block(f"{key}.conv", channels, inputs, 1, 1, has_slopes=True)
        for number, size in enumerate(sizes):
            side = 3 + 2 * number
            name = f"{key}.conv_dw.mixed_depthwise_conv.{number}"
            self.convolution(name, size, 1, side, side)
        self.norm(f"{key}.conv_dw.bn", channels)
        self.weights[f"{key}.conv_dw.prelu.weight"] = torch.full((channels,), 0.25)
        self.gates(f"{key}.CA", channels)
        self.block(f"{key}.project", outputs, channels, 1, 1, has_slopes=False)


def ddamfn_weights(config: DDAMFNConfig, parts: Parts, *, seed: int = 0) -> dict[str, Tensor]:
    """Random weights with lively batch norm statistics, by the public code's names."""
    drawer = _Drawer(seed)
    stem, features = config.stem_width, config.num_features
    drawer.block("features.0", stem, 3, 3, 3, has_slopes=True)
    drawer.block("features.1", stem, 1, 3, 3, has_slopes=True)
    inputs = stem
    for stage, width in enumerate(config.widths):
        halving, residual = parts[stage]
        drawer.mixed_block(f"features.{2 + 2 * stage}", inputs, width, halving)
        for number in range(config.blocks[stage]):
            drawer.mixed_block(f"features.{3 + 2 * stage}.model.{number}", width, width, residual)
        inputs = width
    drawer.block("features.8", features, inputs, 1, 1, has_slopes=True)
    for number in range(NUM_HEADS):
        head = f"cat_head{number}.CoordAtt"
        drawer.block(f"{head}.Linear_h", features, 1, 1, 7, has_slopes=False)
        drawer.block(f"{head}.Linear_w", features, 1, 7, 1, has_slopes=False)
        drawer.gates(head, features)
        drawer.block(f"{head}.Linear", features, 1, 7, 7, has_slopes=False)
    drawer.block("Linear", features, 1, 7, 7, has_slopes=False)
    drawer.weights["fc.weight"] = torch.randn(7, features) / features**0.5
    drawer.weights["fc.bias"] = torch.randn(7)
    drawer.norm("bn", 7)
    return drawer.weights


def logits_and_heads(
    weights: dict[str, Tensor], pixels: Tensor, *, blocks: Sequence[int]
) -> tuple[Tensor, list[Tensor]]:
    """What the public code gives for (N, 3, 112, 112) pixels that are normalised already."""
    x = _block(weights, "features.0", pixels, stride=2, padding=1)
    x = _block(weights, "features.1", x, padding=1, groups=x.shape[1])
    for stage, residuals in enumerate(blocks):
        x = _mixed_block(weights, f"features.{2 + 2 * stage}", x, stride=2)
        for number in range(residuals):
            x = x + _mixed_block(weights, f"features.{3 + 2 * stage}.model.{number}", x)
    x = _block(weights, "features.8", x)
    channels = x.shape[1]
    heads = []
    for number in range(NUM_HEADS):
        name = f"cat_head{number}.CoordAtt"
        rows = _block(weights, f"{name}.Linear_h", x, groups=channels)
        columns = _block(weights, f"{name}.Linear_w", x, groups=channels)
        heads.append(_gates(weights, name, rows, columns))
    attended = x * torch.maximum(*heads)
    pooled = _block(weights, "Linear", attended, groups=channels).flatten(1)
    return pooled @ weights["fc.weight"].T + weights["fc.bias"], heads


def _mixed_block(weights: dict[str, Tensor], key: str, x: Tensor, *, stride: int = 1) -> Tensor:
    x = _block(weights, f"{key}.conv", x)
    filtered, start, number = [], 0, 0
    while f"{key}.conv_dw.mixed_depthwise_conv.{number}.weight" in weights:
        kernel = weights[f"{key}.conv_dw.mixed_depthwise_conv.{number}.weight"]
        part = x[:, start : start + len(kernel)]
        padding = kernel.shape[-1] // 2
        filtered.append(F.conv2d(part, kernel, stride=stride, padding=padding, groups=len(kernel)))
        start, number = start + len(kernel), number + 1
    x = torch.cat(filtered, 1)
    gates = _gates(weights, f"{key}.CA", x.mean(dim=3, keepdim=True), x.mean(dim=2, keepdim=True))
    return _block(weights, f"{key}.project", x * gates)


def _gates(weights: dict[str, Tensor], key: str, rows: Tensor, columns: Tensor) -> Tensor:
    """Each strip by itself: they share weights, but batch norm in eval knows no neighbours."""
    gates = []
    for strip, name in ((rows, "conv2"), (columns, "conv3")):
        y = F.conv2d(strip, weights[f"{key}.conv1.weight"], weights[f"{key}.conv1.bias"])
        y = _norm(weights, f"{key}.bn1", y)
        y = y * (y + 3).clamp(0, 6) / 6
        y = F.conv2d(y, weights[f"{key}.{name}.weight"], weights[f"{key}.{name}.bias"])
        gates.append(1 / (1 + torch.exp(-y)))
    return gates[0] * gates[1]


def _block(
    weights: dict[str, Tensor],
    key: str,
    x: Tensor,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> Tensor:
    kernel = weights[f"{key}.conv.weight"]
    x = F.conv2d(x, kernel, stride=stride, padding=padding, groups=groups)
    x = _norm(weights, f"{key}.bn", x)
    slopes = weights.get(f"{key}.prelu.weight")
    return x if slopes is None else torch.where(x > 0, x, x * slopes[:, None, None])


def _norm(weights: dict[str, Tensor], key: str, x: Tensor) -> Tensor:
    mean, variance, gain, bias = (
        weights[f"{key}.{name}"][:, None, None]
        for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(variance + 1e-5) * gain + bias
