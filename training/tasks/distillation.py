"""Learning from a published network's images beside the originals: for smaller, faster networks."""

import torch
from torch import Tensor, nn

from model_store.architectures import Upscaler, UpscalerConfig, needs_landmarks
from model_store.errors import ModelStoreError
from model_store.landmarks.fallback import choose_landmarks
from model_store.landmarks.landmarker import Landmarker
from model_store.store import ModelStore
from training.config import DistillationConfig
from training.errors import ConfigError
from training.losses.pixels import l1_distance
from training.losses.terms import LossTerms


class Teacher:
    """A frozen network whose images of the same LR faces are to be matched.

    The original holds detail that no network can know from its LR image; the teacher's image holds
    what one of this size can.
    """

    def __init__(self, network: nn.Module, landmarker: Landmarker | None, *, weight: float) -> None:
        """Teach by a network.

        Args:
            network: Upscales; frozen, in eval mode.
            landmarker: Finds its landmarks in the LR image; None if it takes none.
            weight: Of the distance.
        """
        self._network = network
        self._landmarker = landmarker
        self._weight = weight

    def compare(self, sr: Tensor, lr: Tensor) -> LossTerms:
        """Mean absolute difference from the teacher's images, which are held within [0, 1].

        Args:
            sr: (N, 3, H, W) the student's images, in float32.
            lr: (N, 3, h, h) what both were given.
        """
        with torch.no_grad():
            inputs: tuple[Tensor, ...] = (lr,)
            if self._landmarker is not None:
                inputs = (lr, choose_landmarks(self._landmarker, lr).landmarks)
            target = self._network(*inputs).float().clamp(0, 1)
        distance = l1_distance(sr, target).mean()
        return LossTerms(self._weight * distance, {"distillation": distance.detach()})


def load_teacher(
    config: DistillationConfig,
    *,
    student: UpscalerConfig,
    landmarker: Landmarker | None,
    store: ModelStore,
    device: torch.device,
) -> Teacher | None:
    """Load the teacher that a configuration names, if it names one.

    Args:
        config: The run's.
        student: What is trained; the teacher must make images of the same LR faces.
        landmarker: On the device; needed where the teacher takes landmarks.
        store: Where the teacher is published.
        device: Where the run computes.

    Raises:
        ConfigError: it is not published, does not upscale, or has another scale.
    """
    if not config.teacher:
        return None
    try:
        network = store.load(config.teacher, device=device).module
    except ModelStoreError as error:
        raise ConfigError(f"task.distillation.teacher: {error}") from error
    if not isinstance(network, Upscaler):
        raise ConfigError(
            f"task.distillation.teacher: {config.teacher} is a {type(network).__name__}, which "
            "does not upscale"
        )
    if network.config.scale != student.scale:
        raise ConfigError(
            f"task.distillation.teacher: {config.teacher} upscales x{network.config.scale} and "
            f"task.network x{student.scale}; name a teacher of the same scale"
        )
    takes_landmarks = needs_landmarks(network.config)
    return Teacher(network.eval(), landmarker if takes_landmarks else None, weight=config.weight)
