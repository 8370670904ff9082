"""What a Landmarker learns from: augmented faces, some made faceless, degraded to each LR side."""

import torch
from torch import Tensor

from model_store.landmarks.landmarker import Landmarker
from training.config import LandmarkTaskConfig, TrainConfig
from training.data.augmentation import augment_faces
from training.data.datasets import FaceBatch
from training.data.degradation import degrade
from training.data.draws import BatchDraws
from training.data.faceless import make_faceless


def make_landmark_inputs(
    faces: FaceBatch,
    *,
    has_face: Tensor,
    config: TrainConfig,
    task: LandmarkTaskConfig,
    draws: BatchDraws,
) -> tuple[Tensor, Tensor]:
    """Augment, replace and degrade a batch of N faces.

    Args:
        faces: N faces with their teacher landmarks.
        has_face: (N,) bool on the CPU; where it is false the face is replaced by none.
        config: Augmentation and degradation.
        task: The LR sides, which the faces of a batch have in turn. Smaller ones are brought to
            the largest by the same bicubic as in the Landmarker, so that one forward pass, with
            one set of batch statistics, serves all of them.
        draws: Source of all that is random.

    Returns:
        (N, 3, 32, 32) in [0, 1], and (N, 478, 3) landmarks that still lie on the faces.
    """
    images, landmarks = augment_faces(
        faces.images, faces.landmarks, config=config.augmentation, draws=draws
    )
    images = _replace_faceless(images, (~has_face).nonzero()[:, 0], draws)
    return _degrade_in_turn(images, faces.ids, config, task, draws), landmarks


def _replace_faceless(images: Tensor, faceless: Tensor, draws: BatchDraws) -> Tensor:
    generators = draws.per_face()
    if len(faceless) == 0:
        return images
    made = [
        make_faceless(images[place : place + 1], generator=generators[place])
        for place in faceless.tolist()
    ]
    return images.index_copy(0, faceless.to(images.device), torch.cat(made))


def _degrade_in_turn(
    images: Tensor, ids: Tensor, config: TrainConfig, task: LandmarkTaskConfig, draws: BatchDraws
) -> Tensor:
    order, parts = [], []
    for number, side in enumerate(task.lr_sides_px):
        index = (draws.rows % len(task.lr_sides_px) == number).nonzero()[:, 0]
        part_draws = draws.select(index)
        if len(index) == 0:
            continue
        part = images[index.to(images.device)]
        lr = degrade(
            part, side_px=side, config=config.degradation, draws=part_draws, ids=ids[index]
        )
        order.append(index)
        parts.append(Landmarker.to_grid(lr))
    return torch.cat(parts)[torch.cat(order).argsort().to(images.device)]
