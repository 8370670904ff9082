"""LPIPS with SqueezeNet 1.1 as its papers define it, in float64 NumPy loops, none of our code.

Iandola et al. 2016 (fire modules; version 1.1's layout) and Zhang et al. 2018, equation 1.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Weights = Mapping[str, Array]

FIRES_AND_POOLS = (None, 3, 4, None, 6, 7, None, 9, 10, 11, 12)  # None is a pool
TAPPED_FIRES = (4, 7, 9, 10, 11, 12)


def lpips_squeeze(image: Array, other: Array, weights: Weights, heads: Sequence[Array]) -> float:
    """Distance of two (3, H, W) RGB images in [0, 1]."""
    total = 0.0
    taps = zip(squeezenet_taps(image, weights), squeezenet_taps(other, weights), strict=True)
    for (first, second), head in zip(taps, heads, strict=True):
        _, height, width = first.shape
        at_places = [
            head @ (unit(first[:, y, x]) - unit(second[:, y, x])) ** 2
            for y in range(height)
            for x in range(width)
        ]
        total += float(np.mean(at_places))
    return total


def unit(vector: Array) -> Array:
    length = np.sqrt(vector @ vector)
    return vector / length if length > 0 else vector


def squeezenet_taps(image: Array, weights: Weights) -> list[Array]:
    shift = np.array([-0.030, -0.088, -0.188])[:, None, None]
    scale = np.array([0.458, 0.448, 0.450])[:, None, None]
    features = (2 * image - 1 - shift) / scale
    features = np.maximum(conv(features, weights, "features.0", stride=2), 0)
    taps = [features]
    for number in FIRES_AND_POOLS:
        if number is None:
            features = max_pool(features)
            continue
        name = f"features.{number}"
        squeezed = np.maximum(conv(features, weights, f"{name}.squeeze"), 0)
        narrow = conv(squeezed, weights, f"{name}.expand1x1")
        wide = conv(squeezed, weights, f"{name}.expand3x3", padding=1)
        features = np.maximum(np.concatenate([narrow, wide]), 0)
        if number in TAPPED_FIRES:
            taps.append(features)
    return taps


def conv(
    features: Array, weights: Weights, name: str, *, stride: int = 1, padding: int = 0
) -> Array:
    kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    size = kernel.shape[2]
    padded = np.pad(features, ((0, 0), (padding, padding), (padding, padding)))
    rows = range(0, padded.shape[1] - size + 1, stride)
    columns = range(0, padded.shape[2] - size + 1, stride)
    out = np.zeros((kernel.shape[0], len(rows), len(columns)))
    for i, y in enumerate(rows):
        for j, x in enumerate(columns):
            window = padded[:, y : y + size, x : x + size]
            out[:, i, j] = np.tensordot(kernel, window, axes=3) + bias
    return out


def max_pool(features: Array) -> Array:
    """3x3, stride 2; a last window may hang over the edge if it begins inside (ceil mode)."""
    _, height, width = features.shape
    size = [-(-(side - 3) // 2) + 1 for side in (height, width)]
    out = np.zeros((features.shape[0], size[0], size[1]))
    for i in range(size[0]):
        for j in range(size[1]):
            out[:, i, j] = features[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max(axis=(1, 2))
    return out
