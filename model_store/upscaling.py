"""A batch of faces through the published networks: landmarks from the LR image, then upscaled."""

from torch import Tensor

from model_store.affectsrnet.network import AffectSRNet
from model_store.landmarks.fallback import choose_landmarks
from model_store.landmarks.landmarker import Landmarker


def upscale_batch(network: AffectSRNet, lr: Tensor, *, landmarker: Landmarker | None) -> Tensor:
    """Upscale (N, 3, h, h) faces in [0, 1]; the result is not clamped.

    The landmarker is asked only where the network fuses landmarks.

    Raises:
        ValueError: the network fuses landmarks and there is no landmarker.
    """
    landmarks = None
    if network.config.landmark_fusion:
        if landmarker is None:
            raise ValueError("a network with landmark_fusion needs a landmarker")
        landmarks = choose_landmarks(landmarker, lr).landmarks
    sr: Tensor = network(lr, landmarks)
    return sr
