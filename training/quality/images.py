"""PSNR and SSIM of 8-bit images, by the two protocols in which face super-resolution is reported.

``sfmnet`` is the one that the paper's tables belong to; ``sparnet`` crops nothing and weighs SSIM
by a Gaussian. They differ by some tenths of a decibel, so a number is always named with its own.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from model_store.image_tensor import RgbImage

# ITU-R BT.601 as MATLAB's rgb2ycbcr applies it to 8-bit images: Y in [16, 235].
_Y_WEIGHTS = (65.481 / 255, 128.553 / 255, 24.966 / 255)
_Y_OFFSET = 16.0
# With scikit-image's truncation at 3.5 sigma this is the 11 x 11 window of Wang et al. (2004).
_GAUSSIAN_SIGMA = 1.5


@dataclass(frozen=True)
class QualityProtocol:
    """How images are compared: on MATLAB-style Y of 8-bit RGB, data range 255.

    Attributes:
        name: By which every number is named.
        crop_border: Pixels left out on each side, for PSNR and for SSIM.
        window: SSIM's window: "uniform" is 7x7, scikit-image's default; "gaussian" is 11x11 with
            sigma 1.5 and population variances, averaged where the window lies inside the image.
    """

    name: str
    crop_border: int
    window: Literal["uniform", "gaussian"]

    @property
    def description(self) -> str:
        """One line that says what is compared."""
        crop = f"{self.crop_border} px border left out" if self.crop_border else "whole image"
        window = "uniform 7x7" if self.window == "uniform" else "Gaussian 11x11, sigma 1.5"
        return f"Y of 8-bit images, {crop}; SSIM window {window}"


SFMNET = QualityProtocol("sfmnet", crop_border=8, window="uniform")
SPARNET = QualityProtocol("sparnet", crop_border=0, window="gaussian")
PROTOCOLS = (SFMNET, SPARNET)


def luma(images: Tensor) -> Tensor:
    """(N, 3, H, W) RGB in [0, 1] -> (N, H, W) Y in [16, 235]."""
    weights = images.new_tensor(_Y_WEIGHTS)[:, None, None]
    y: Tensor = (images * 255 * weights).sum(1) + _Y_OFFSET
    return y


def psnr(images: Tensor, references: Tensor, *, crop_border: int = SFMNET.crop_border) -> Tensor:
    """PSNR in dB for each of N images in 8-bit levels; infinite where equal.

    Args:
        images: (N, H, W) planes, or (N, C, H, W) with one mean over the channels.
        references: Of the same shape.
        crop_border: Pixels left out on each side.
    """
    inner = slice(crop_border, images.shape[-1] - crop_border)
    difference = (images - references)[..., inner, inner].double()
    return 10 * torch.log10(255**2 / difference.square().flatten(1).mean(1))


def ssim(image: RgbImage, reference: RgbImage, *, protocol: QualityProtocol = SFMNET) -> float:
    """SSIM of two (H, W, 3) uint8 RGB images on Y."""
    first, second = (_crop(_luma_of(i), protocol.crop_border) for i in (image, reference))
    if protocol.window == "uniform":
        return float(structural_similarity(first, second, data_range=255))
    return float(
        structural_similarity(
            first,
            second,
            data_range=255,
            gaussian_weights=True,
            sigma=_GAUSSIAN_SIGMA,
            use_sample_covariance=False,
        )
    )


def _luma_of(image: RgbImage) -> npt.NDArray[np.float64]:
    y: npt.NDArray[np.float64] = image.astype(np.float64) @ np.array(_Y_WEIGHTS) + _Y_OFFSET
    return y


def _crop(plane: npt.NDArray[np.float64], border: int) -> npt.NDArray[np.float64]:
    return plane[border : plane.shape[0] - border, border : plane.shape[1] - border]
