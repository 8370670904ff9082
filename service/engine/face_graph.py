"""Everything from 8-bit faces to 8-bit results in one module: what is exported, and captured.

The engines on a CPU run the landmarker and the network one after the other, so that MediaPipe may
stand between them; on a GPU each step that the host has a hand in costs more than the arithmetic.
"""

import torch
from torch import Tensor, nn

from model_store.architectures import Upscaler, needs_landmarks
from model_store.image_tensor import resize_bicubic
from model_store.landmarks.landmarker import Landmarker
from service.engine.upscaling import EightBitNetwork


class FaceGraph(nn.Module):
    """A network with the landmarker in front of it.

    Args:
        network: upscales.
        landmarker: finds the landmarks, in float32.
        min_confidence: below it the mean face stands in.
    """

    def __init__(
        self,
        network: Upscaler,
        landmarker: Landmarker,
        *,
        min_confidence: float,
    ) -> None:
        super().__init__()
        self.takes_landmarks = needs_landmarks(network.config)
        self.network = EightBitNetwork(network)
        self.landmarker = landmarker
        self.min_confidence = min_confidence
        self.register_buffer("resize", _resize_matrix(network.config.lr_size_px), persistent=False)

    resize: Tensor

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Upscale (N, h, h, 3) uint8 RGB faces on the network's grid.

        Returns:
            (N, S, S, 3) uint8 RGB; (N,) bool, whether the network gave numbers; (N,) float32, the
            landmarker's confidence, 1 for a network that takes no landmarks.
        """
        lr = faces.permute(0, 3, 1, 2).float() / 255
        if not self.takes_landmarks:
            images, is_finite = self.network(lr)
            return images, is_finite, torch.ones_like(lr[:, 0, 0, 0])
        prediction = self.landmarker(self.resize @ lr @ self.resize.T)
        is_unsure = prediction.confidence < self.min_confidence
        landmarks = torch.where(
            is_unsure[:, None, None], self.landmarker.mean_landmarks, prediction.landmarks
        )
        images, is_finite = self.network(lr, landmarks)
        return images, is_finite, prediction.confidence


def _resize_matrix(size: int) -> Tensor:
    """`Landmarker.to_grid` of one axis, (32, size): no exported format has antialiased bicubic."""
    grid_px = Landmarker.to_grid(torch.zeros(1, 3, size, size)).shape[-1]
    return resize_bicubic(torch.eye(size)[None, None], height=grid_px, width=size)[0, 0]
