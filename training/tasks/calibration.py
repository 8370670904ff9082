"""Calibrating a Landmarker's confidence after training, before it is published."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from model_store.landmarks.distance import normalised_mean_error
from model_store.landmarks.landmarker import Landmarker
from training.config import LandmarkTaskConfig, TrainConfig
from training.data.datasets import FaceBatch
from training.data.draws import BatchDraws
from training.quality import RIGHT_WITHIN_NME
from training.tasks.landmark_inputs import make_landmark_inputs

_FACELESS_EVERY = 3


def calibrate_confidence(
    landmarker: Landmarker,
    batches: Iterable[FaceBatch],
    *,
    config: TrainConfig,
    task: LandmarkTaskConfig,
) -> None:
    """Set the Platt scaling that makes the confidence the share of right answers.

    Args:
        landmarker: In eval mode, on the device of the faces, in float32.
        batches: Faces that were not learnt from; they are warped as in training, and a third of
            them is made faceless.
        config: Seed, augmentation and degradation.
        task: The LR sides.
    """
    landmarker.calibration.copy_(torch.tensor([1.0, 0.0]))
    logits, is_right = collect_confidence(landmarker, batches, config=config, task=task)
    scaling = torch.tensor([1.0, 0.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([scaling], max_iter=100)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(logits * scaling[0] + scaling[1], is_right)
        loss.backward()
        return loss

    optimizer.step(closure)
    landmarker.calibration.copy_(scaling.detach())


@torch.no_grad()
def collect_confidence(
    landmarker: Landmarker,
    batches: Iterable[FaceBatch],
    *,
    config: TrainConfig,
    task: LandmarkTaskConfig,
) -> tuple[Tensor, Tensor]:
    """Return (M,) confidence logits and whether each answer was right (1.0) or not (0.0)."""
    logits, is_right = [], []
    for number, faces in enumerate(batches):
        draws = BatchDraws.of_step(seed=config.seed, step=number, batch_size=len(faces))
        has_face = torch.arange(len(faces)) % _FACELESS_EVERY != 0
        lr, landmarks = make_landmark_inputs(
            faces, has_face=has_face, config=config, task=task, draws=draws
        )
        found = landmarker(lr)
        errors = normalised_mean_error(found.landmarks, landmarks).cpu()
        logits.append(found.confidence_logits.cpu())
        is_right.append(((errors < RIGHT_WITHIN_NME) & has_face).float())
    return torch.cat(logits), torch.cat(is_right)
