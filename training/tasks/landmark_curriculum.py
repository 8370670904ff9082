"""A curriculum for the landmark branch: good landmarks first, those of the LR image later."""

import torch
from torch import Tensor

from training.config import LandmarkCurriculumConfig
from training.data.draws import BatchDraws


def mix_landmarks(
    found: Tensor, truth: Tensor, *, config: LandmarkCurriculumConfig, draws: BatchDraws
) -> Tensor:
    """Give some faces of a training batch the teacher's landmarks, with noise.

    Their share falls linearly from all at step 0 to none at ``config.teacher_steps``; from there on
    nothing is drawn any more.

    Args:
        found: (N, 478, 3), found in the LR images.
        truth: (N, 478, 3), the teacher's, on the augmented HR images.
        config: How long and how noisy.
        draws: Of the batch; its step decides the share.

    Returns:
        (N, 478, 3).
    """
    if draws.step >= config.teacher_steps:
        return found
    share = 1 - draws.step / config.teacher_steps
    is_taught = (draws.uniform() < share).to(found.device)
    noise = draws.normal(*truth.shape[1:], device=truth.device) * config.noise
    return torch.where(is_taught[:, None, None], truth + noise, found)
