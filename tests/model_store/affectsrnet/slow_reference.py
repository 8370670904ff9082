"""ESRGAN's generator as its paper defines it, in float64 NumPy loops: slow, and none of our code.

Wang et al. 2018, section 3.1: RRDB with residual scaling 0.2, LeakyReLU 0.2, nearest x2 and a conv
per upsampling. Ours besides: instance norm after the dense convs, input 2x - 1, a bicubic skip.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Weights = Mapping[str, Array]


def backbone(image: Array, weights: Weights, *, scale: int, num_blocks: int) -> Array:
    """(3, h, w) -> (3, scale h, scale w), by one image's weights in our key names."""
    first = conv(2.0 * image - 1.0, weights, "conv_first")
    trunk = first
    for i in range(num_blocks):
        trunk = rrdb(trunk, weights, f"body.{i}")
    features = first + conv(trunk, weights, "conv_body")
    for stage in range({4: 2, 8: 3}[scale]):
        doubled = features.repeat(2, axis=1).repeat(2, axis=2)
        features = leaky_relu(conv(doubled, weights, f"conv_up{stage + 1}"))
    residual = conv(leaky_relu(conv(features, weights, "conv_hr")), weights, "conv_last")
    return bicubic(image, scale) + residual


def rrdb(features: Array, weights: Weights, name: str) -> Array:
    inner = features
    for j in (1, 2, 3):
        inner = dense_block(inner, weights, f"{name}.rdb{j}")
    return features + 0.2 * inner


def dense_block(features: Array, weights: Weights, name: str) -> Array:
    seen = [features]
    for k in (1, 2, 3, 4):
        grown = conv(np.concatenate(seen), weights, f"{name}.conv{k}")
        seen.append(leaky_relu(instance_norm(grown, weights, f"{name}.norm{k}")))
    last = conv(np.concatenate(seen), weights, f"{name}.conv5")
    return features + 0.2 * instance_norm(last, weights, f"{name}.norm5")


def conv(features: Array, weights: Weights, name: str) -> Array:
    kernel = weights[f"{name}.weight"]
    _, height, width = features.shape
    padded = np.zeros((features.shape[0], height + 2, width + 2))
    padded[:, 1:-1, 1:-1] = features
    out = np.zeros((kernel.shape[0], height, width))
    for y in range(height):
        for x in range(width):
            out[:, y, x] = np.tensordot(kernel, padded[:, y : y + 3, x : x + 3], axes=3)
    if f"{name}.bias" in weights:
        out += weights[f"{name}.bias"][:, None, None]
    return out


def instance_norm(features: Array, weights: Weights, name: str) -> Array:
    if f"{name}.weight" not in weights:
        return features
    out = np.empty_like(features)
    for channel, plane in enumerate(features):
        unit = (plane - plane.mean()) / np.sqrt(plane.var() + 1e-5)
        out[channel] = weights[f"{name}.weight"][channel] * unit + weights[f"{name}.bias"][channel]
    return out


def leaky_relu(features: Array) -> Array:
    return np.where(features > 0, features, 0.2 * features)


def bicubic(image: Array, scale: int) -> Array:
    """Keys' cubic with a = -0.75 (PyTorch's), pixel centres aligned, edges repeated."""
    for axis in (1, 2):
        size = image.shape[axis]
        rows = []
        for target in range(size * scale):
            source = (target + 0.5) / scale - 0.5
            base = int(np.floor(source))
            row = np.zeros_like(image.take(0, axis))
            for tap in range(base - 1, base + 3):
                row += cubic(abs(source - tap)) * image.take(min(max(tap, 0), size - 1), axis)
            rows.append(row)
        image = np.stack(rows, axis)
    return image


def cubic(distance: float, a: float = -0.75) -> float:
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    if distance < 2:
        return a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a
    return 0.0
