"""Laying an upscaled face into the enlarged photo: turned back, its colours matched, no seam."""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_store.faces.framing import Similarity, invert, scale_of, transform
from model_store.image_tensor import RgbImage

_Floats = npt.NDArray[np.float32]

# The mask is a square with round corners: |x|^4 + |y|^4 = 1 is its edge, and it is whole up to this
# part of the way there. A chin is at 0.8 of it.
_WHOLE_UP_TO = 0.7
# How far the colours of a face may be moved to meet the photo's: a network that keeps to its input
# is within a level of it, and what is further off is no matter of colour.
_MAX_SHIFT_LEVELS = 16.0
_MAX_GAIN = 1.25


def paste_face(
    photo: RgbImage, face: RgbImage, crop_to_photo: Similarity, *, native_px: float, strength: float
) -> None:
    """Blend a face into a photo, in place.

    Args:
        photo: (H, W, 3) uint8, enlarged.
        face: (S, S, 3) uint8 upscaled crop.
        crop_to_photo: from the crop's unit square to px of `photo`.
        native_px: side of the crop before anything was enlarged: what finer detail the face has
            than that, its surroundings lack, so colours are compared without it.
        strength: 0 leaves the photo, 1 lays the face over it.
    """
    left, top, right, bottom = _box_in(photo, crop_to_photo)
    if right <= left or bottom <= top or strength == 0:
        return
    to_crop = invert(crop_to_photo)
    to_crop[:, 2] = transform(to_crop, np.array([[left, top]]))[0]
    size = (right - left, bottom - top)
    mask = _mask(to_crop, size)
    side_px = max(8, min(face.shape[0], math.ceil(scale_of(crop_to_photo))))
    warped = _warp(_resize(face, side_px), to_crop, size)
    coarse_px = max(8, min(side_px, round(native_px)))
    coarse = _warp(_resize(face, coarse_px), to_crop, size)
    region = photo[top:bottom, left:right]
    matched = _match_colours(warped, coarse, region.astype(np.float32), mask)
    share = (strength * mask)[..., None]
    region[:] = np.rint(region + share * (np.clip(matched, 0, 255) - region)).astype(np.uint8)


def _box_in(photo: RgbImage, crop_to_photo: Similarity) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the pixels that the crop covers."""
    corners = transform(crop_to_photo, np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]]))
    height, width = photo.shape[:2]
    left, top = np.floor(corners.min(0)).astype(int).tolist()
    right, bottom = np.ceil(corners.max(0)).astype(int).tolist()
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


def _mask(to_crop: Similarity, size: tuple[int, int]) -> _Floats:
    """(H, W) in [0, 1]: 1 in the middle of the crop, 0 outside, smooth between."""
    width, height = size
    columns, rows = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
    x, y = (
        np.float32(2) * (a * columns + b * rows + c).astype(np.float32) - 1 for a, b, c in to_crop
    )
    # |x|^4 + |y|^4, and its fourth root; `**` takes ten times as long.
    distance = np.sqrt(np.sqrt(np.square(x * x) + np.square(y * y)))
    ramp = np.clip((1 - distance) / (1 - _WHOLE_UP_TO), 0, 1)
    mask: _Floats = ramp * ramp * (3 - 2 * ramp)
    return mask


def _resize(face: RgbImage, side_px: int) -> RgbImage:
    if face.shape[0] == side_px:
        return face
    return np.asarray(Image.fromarray(face).resize((side_px, side_px), Image.Resampling.BICUBIC))


def _warp(face: RgbImage, to_crop: Similarity, size: tuple[int, int]) -> _Floats:
    """Turn an (S, S, 3) face into the photo's pixels: (H, W, 3)."""
    matrix = to_crop * face.shape[0]
    turned = Image.fromarray(face).transform(
        size,
        Image.Transform.AFFINE,
        tuple(matrix.flatten().tolist()),
        Image.Resampling.BICUBIC,
    )
    return np.asarray(turned, dtype=np.float32)


def _match_colours(face: _Floats, coarse: _Floats, photo: _Floats, mask: _Floats) -> _Floats:
    """Move a face's colours so that where it fades out it has the photo's mean and spread.

    Gain and shift of each channel come from the ring in which the mask is neither 0 nor 1.
    """
    weights = (mask * (1 - mask)).flatten()
    total = float(weights.sum())
    if total < 1:
        return face
    weights /= total
    # As matrix products: NumPy's sums over the first two of three axes take five times as long.
    (mean_face, spread_face), (mean_photo, spread_photo) = (
        _mean_and_spread(part.reshape(-1, 3), weights) for part in (coarse, photo)
    )
    gain = np.clip(spread_photo / np.maximum(spread_face, 1), 1 / _MAX_GAIN, _MAX_GAIN)
    shift = np.clip(mean_photo - mean_face, -_MAX_SHIFT_LEVELS, _MAX_SHIFT_LEVELS)
    matched: _Floats = (face - mean_face) * gain + mean_face + shift
    return matched


def _mean_and_spread(colours: _Floats, weights: _Floats) -> tuple[_Floats, _Floats]:
    """Of (K, 3) colours, channel by channel, with (K,) weights that sum to 1."""
    mean = weights @ colours
    return mean, np.sqrt(weights @ np.square(colours - mean))
