"""The Landmarker: a small residual CNN from a low-resolution face to its 478 landmarks.

It stands where the paper runs MediaPipe on the LR image (III-C). Measured there, MediaPipe is
worse than a constant face at 16 px and costs 6 to 11 ms a face, one at a time; this network
learnt MediaPipe's answer on the high-resolution face instead, and runs in the upscaling batch.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_store.image_tensor import resize_bicubic
from model_store.landmarks.topology import LANDMARK_COUNT

_GRID_PX = 32


@dataclass(frozen=True, kw_only=True)
class LandmarkerConfig:
    """Sizes of the Landmarker.

    Attributes:
        num_coefficients: Coefficients of the linear face model (PCA) that the head predicts.
        widths: Channels at 32, 16, 8 and 4 px.
        blocks: Residual blocks at 32, 16, 8 and 4 px.
    """

    architecture: ClassVar[str] = "landmarker"

    num_coefficients: int = 80
    widths: tuple[int, ...] = (24, 48, 128, 256)
    blocks: tuple[int, ...] = (1, 2, 2, 1)


@dataclass(frozen=True)
class LandmarkPrediction:
    """What the Landmarker says of N faces.

    Attributes:
        landmarks: (N, 478, 3); x, y in [0, 1] of the crop, z on x's scale.
        confidence_logits: (N,) calibrated log-odds of the confidence.
    """

    landmarks: Tensor
    confidence_logits: Tensor

    @property
    def confidence(self) -> Tensor:
        """(N,) probability that there is a face and its landmarks are within NME 0.08."""
        return torch.sigmoid(self.confidence_logits)


class Landmarker(nn.Module):
    """Landmarks and confidence for a batch of low-resolution face crops.

    The head predicts coefficients of a linear face model, so every answer is a face, and its
    mean (``mean_landmarks``) is the face that stands in when the confidence is low.

    Attributes:
        mean_landmarks: (478, 3) buffer, the mean face.
    """

    mean_landmarks: Tensor
    basis: Tensor
    calibration: Tensor

    def __init__(self, config: LandmarkerConfig) -> None:
        super().__init__()
        self.config = config
        stem, *_ = config.widths
        layers: list[nn.Module] = [_convolution(3, stem), nn.ReLU()]
        channels = stem
        for stage, (width, blocks) in enumerate(zip(config.widths, config.blocks, strict=True)):
            if stage > 0:
                layers += [_convolution(channels, width, stride=2), nn.ReLU()]
                channels = width
            layers += [_ResidualBlock(width) for _ in range(blocks)]
        self.body = nn.Sequential(*layers)
        cells = (_GRID_PX // 2 ** (len(config.widths) - 1)) ** 2
        self.coefficients = nn.Linear(channels * cells, config.num_coefficients)
        self.confidence = nn.Linear(channels * cells, 1)
        self.register_buffer("mean_landmarks", torch.full((LANDMARK_COUNT, 3), 0.5))
        # Rows are principal axes times the standard deviation along them, so that coefficients
        # of a trained network are of order one.
        self.register_buffer("basis", torch.zeros(config.num_coefficients, LANDMARK_COUNT * 3))
        # Platt scaling (slope, intercept), fitted on the validation slice after training.
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))
        nn.init.normal_(self.coefficients.weight, std=1e-3)
        nn.init.zeros_(self.coefficients.bias)

    @staticmethod
    def to_grid(lr: Tensor) -> Tensor:
        """Resample (N, 3, h, h) crops to the (N, 3, 32, 32) that the network reads."""
        return resize_bicubic(lr, height=_GRID_PX, width=_GRID_PX)

    def forward(self, lr: Tensor) -> LandmarkPrediction:
        """Find the landmarks of faces in (N, 3, h, h) float RGB crops in [0, 1], any h.

        Crops of another size than 32 px are resampled to it (bicubic, antialiased).
        """
        features = self.body(2 * self.to_grid(lr) - 1).flatten(1)
        # bfloat16 has 8 bits: at 128 px a coordinate would be off by half a pixel.
        with torch.autocast(lr.device.type, enabled=False):
            features = features.to(self.basis.dtype)
            offsets = self.coefficients(features) @ self.basis
            landmarks = self.mean_landmarks + offsets.unflatten(1, (LANDMARK_COUNT, 3))
            slope, intercept = self.calibration
            logits = self.confidence(features)[:, 0] * slope + intercept
        return LandmarkPrediction(landmarks, logits)


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = _convolution(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(features + self.second(F.relu(self.first(features))))


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
    )
