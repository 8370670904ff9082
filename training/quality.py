"""Image and landmark quality: PSNR and SSIM on MATLAB-style Y, landmark NME, bootstrap intervals.

Protocol ``sfmnet``, to which the paper's tables belong: Y of 8-bit images, 8 px border cropped.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from model_store.image_tensor import RgbImage
from model_store.landmarks.topology import (
    LEFT_EYE_OUTER_CORNER,
    OPENINGS,
    RIGHT_EYE_OUTER_CORNER,
)

CROP_BORDER_PX = 8
# ITU-R BT.601 as MATLAB's rgb2ycbcr applies it to 8-bit images: Y in [16, 235].
_Y_WEIGHTS = (65.481 / 255, 128.553 / 255, 24.966 / 255)
_Y_OFFSET = 16.0
_BOOTSTRAP_DRAWS = 2000
_CALIBRATION_BINS = 10
# A prediction within this NME counts as right; the Landmarker's confidence is the probability
# of that.
RIGHT_WITHIN_NME = 0.08


@dataclass(frozen=True)
class Estimate:
    """A mean over faces with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int


def luma(images: Tensor) -> Tensor:
    """(N, 3, H, W) RGB in [0, 1] -> (N, H, W) Y in [16, 235]."""
    weights = images.new_tensor(_Y_WEIGHTS)[:, None, None]
    y: Tensor = (images * 255 * weights).sum(1) + _Y_OFFSET
    return y


def psnr(images: Tensor, references: Tensor, *, crop_border: int = CROP_BORDER_PX) -> Tensor:
    """PSNR in dB for each of N images (N, H, W) in 8-bit levels; infinite where equal."""
    inner = slice(crop_border, images.shape[-1] - crop_border)
    difference = (images - references)[:, inner, inner].double()
    return 10 * torch.log10(255**2 / difference.square().mean((1, 2)))


def ssim(image: RgbImage, reference: RgbImage, *, crop_border: int = CROP_BORDER_PX) -> float:
    """SSIM of two (H, W, 3) uint8 RGB images on Y: uniform 7x7 window, data range 255."""
    first, second = (_crop(_luma_of(i), crop_border) for i in (image, reference))
    return float(structural_similarity(first, second, data_range=255))


def normalised_mean_error(predicted: Tensor, truth: Tensor) -> Tensor:
    """Landmark NME for each of N faces: mean distance in the image plane by inter-ocular distance.

    Args:
        predicted: (N, 478, 3).
        truth: (N, 478, 3); gives the distance between the outer eye corners.
    """
    distance = (predicted[..., :2] - truth[..., :2]).norm(dim=-1).mean(-1)
    error: Tensor = distance / interocular_distance(truth)
    return error


def interocular_distance(landmarks: Tensor) -> Tensor:
    """(N, 478, 3) -> (N,) distance between the outer eye corners, in crop units."""
    across = landmarks[:, LEFT_EYE_OUTER_CORNER, :2] - landmarks[:, RIGHT_EYE_OUTER_CORNER, :2]
    distance: Tensor = across.norm(dim=-1)
    return distance


def openings(landmarks: Tensor) -> Tensor:
    """(N, 478, 3) -> (N, 3) gaps of mouth, right and left eye, in inter-ocular distances."""
    upper, lower = (list(edge) for edge in zip(*OPENINGS, strict=True))
    # The tiny constant gives a closed mouth, where the norm has none, a gradient.
    gap = (landmarks[:, upper, :2] - landmarks[:, lower, :2]).square().sum(-1).add(1e-12).sqrt()
    opening: Tensor = gap / interocular_distance(landmarks)[:, None]
    return opening


def mouth_opening(landmarks: Tensor) -> Tensor:
    """(N, 478, 3) -> (N,) gap between the inner lips, in inter-ocular distances."""
    return openings(landmarks)[:, 0]


def calibration_error(confidence: Tensor, is_right: Tensor) -> float:
    """Expected calibration error of N confidences: |mean confidence - share right| over 10 bins."""
    bins = (confidence * _CALIBRATION_BINS).long().clamp(max=_CALIBRATION_BINS - 1)
    gaps = torch.zeros(_CALIBRATION_BINS, dtype=torch.float64)
    gaps.index_add_(0, bins, confidence.double() - is_right.double())
    return float(gaps.abs().sum() / len(confidence))


def estimate_mean(values: npt.ArrayLike, *, seed: int = 0) -> Estimate:
    """Mean over faces with a seeded percentile bootstrap of 2,000 draws."""
    sample = np.asarray(values, dtype=np.float64)
    draws = np.random.default_rng(seed).integers(len(sample), size=(_BOOTSTRAP_DRAWS, len(sample)))
    low, high = np.percentile(sample[draws].mean(1), [2.5, 97.5])
    return Estimate(float(sample.mean()), float(low), float(high), len(sample))


def _luma_of(image: RgbImage) -> npt.NDArray[np.float64]:
    y: npt.NDArray[np.float64] = image.astype(np.float64) @ np.array(_Y_WEIGHTS) + _Y_OFFSET
    return y


def _crop(plane: npt.NDArray[np.float64], border: int) -> npt.NDArray[np.float64]:
    return plane[border : plane.shape[0] - border, border : plane.shape[1] - border]
