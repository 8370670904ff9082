"""Layers of the baselines by their definitions, in float64 NumPy loops: slow, and none of our code.

Features are (C, H, W) of one image. Weights are a state dict under torch's key names.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from torch import nn

Array = npt.NDArray[np.float64]
Weights = Mapping[str, Array]


def weights_of(module: nn.Module) -> Weights:
    return {key: value.double().numpy() for key, value in module.state_dict().items()}


def conv(
    features: Array,
    weights: Weights,
    name: str,
    *,
    stride: int = 1,
    padding: int | None = None,
    border: str = "constant",
    groups: int = 1,
) -> Array:
    kernels = weights[f"{name}.weight"]  # (out, in / groups, k, k)
    num_out, group_in, size, _ = kernels.shape
    pad = size // 2 if padding is None else padding
    padded = np.pad(features, ((0, 0), (pad, pad), (pad, pad)), mode=border)
    height = (padded.shape[1] - size) // stride + 1
    width = (padded.shape[2] - size) // stride + 1
    out = np.zeros((num_out, height, width))
    for channel in range(num_out):
        first = channel // (num_out // groups) * group_in
        seen = padded[first : first + group_in]
        for y in range(height):
            for x in range(width):
                window = seen[:, y * stride : y * stride + size, x * stride : x * stride + size]
                out[channel, y, x] = (kernels[channel] * window).sum()
    bias = weights.get(f"{name}.bias")
    return out if bias is None else out + bias[:, None, None]


def transposed_conv(
    features: Array, weights: Weights, name: str, *, stride: int, padding: int
) -> Array:
    """Every input pixel paints its scaled kernel onto the output."""
    kernels = weights[f"{name}.weight"]  # (in, out, k, k)
    num_in, height, width = features.shape
    size = kernels.shape[-1]
    canvas = np.zeros((kernels.shape[1], (height - 1) * stride + size, (width - 1) * stride + size))
    for channel in range(num_in):
        for y in range(height):
            for x in range(width):
                canvas[:, y * stride : y * stride + size, x * stride : x * stride + size] += (
                    features[channel, y, x] * kernels[channel]
                )
    inner = slice(padding, -padding)
    bias = weights.get(f"{name}.bias")
    out = canvas[:, inner, inner]
    return out if bias is None else out + bias[:, None, None]


def batch_norm(features: Array, weights: Weights, name: str) -> Array:
    """As in eval mode: by the statistics that training left."""
    mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    gain = weights[f"{name}.weight"] / np.sqrt(variance + 1e-5)
    return (features - mean[:, None, None]) * gain[:, None, None] + weights[f"{name}.bias"][
        :, None, None
    ]


def leaky_relu(features: Array, slope: float) -> Array:
    return np.where(features > 0, features, slope * features)


def prelu(features: Array, weights: Weights, name: str) -> Array:
    return leaky_relu(features, float(weights[f"{name}.weight"][0]))


def nearest_x2(features: Array) -> Array:
    return features.repeat(2, axis=1).repeat(2, axis=2)


def bilinear_x2_aligned(features: Array) -> Array:
    """Bilinear to twice the size, the outermost pixels of both grids on one another."""
    for axis in (1, 2):
        size = features.shape[axis]
        rows = []
        for target in range(2 * size):
            source = target * (size - 1) / (2 * size - 1)
            low = min(int(source), size - 2) if size > 1 else 0
            high = min(low + 1, size - 1)
            share = source - low
            rows.append((1 - share) * features.take(low, axis) + share * features.take(high, axis))
        features = np.stack(rows, axis)
    return features


def max_pool_x2(features: Array) -> Array:
    channels, height, width = features.shape
    return features.reshape(channels, height // 2, 2, width // 2, 2).max((2, 4))
