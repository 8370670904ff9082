"""A batch of faces through the published networks: landmarks from the LR image, then upscaled."""

from torch import Tensor

from model_store.architectures import Upscaler, needs_landmarks
from model_store.landmarks.fallback import choose_landmarks
from model_store.landmarks.landmarker import Landmarker


def upscale_batch(network: Upscaler, lr: Tensor, *, landmarker: Landmarker | None) -> Tensor:
    """Upscale (N, 3, h, h) faces in [0, 1]; the result is not clamped.

    The landmarker is asked only where the network takes landmarks.

    Raises:
        ValueError: the network takes landmarks and there is no landmarker.
    """
    sr: Tensor
    if not needs_landmarks(network.config):
        sr = network(lr)
        return sr
    if landmarker is None:
        raise ValueError("a network with landmark_fusion needs a landmarker")
    sr = network(lr, choose_landmarks(landmarker, lr).landmarks)
    return sr
