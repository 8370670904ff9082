import math

import pytest
import torch
from torch import Tensor

from model_store.landmarks.topology import FLIP_PERMUTATION
from training.config import AugmentationConfig
from training.data.augmentation import Similarity, augment_faces, warp_faces
from training.data.draws import BatchDraws

QUIET = AugmentationConfig(
    flip_probability=0, warp_probability=0, colour_probability=0, grey_probability=0
)
SIDE = 64


def draws_of(images: Tensor, *, step: int = 0) -> BatchDraws:
    return BatchDraws.of_step(seed=0, step=step, batch_size=len(images))


def dot_at(x: float, y: float) -> tuple[Tensor, Tensor]:
    """An image with one soft dot, and landmarks that all lie on it."""
    axis = (torch.arange(SIDE) + 0.5) / SIDE
    bump = torch.exp(-((axis - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * 0.03**2))
    landmarks = torch.tensor([x, y, 0.1]).expand(1, 478, 3)
    return bump.expand(1, 3, SIDE, SIDE), landmarks


def centre_of(image: Tensor) -> tuple[float, float]:
    """Centre of mass of a (1, 3, H, H) image in crop units."""
    axis = (torch.arange(SIDE) + 0.5) / SIDE
    mass = image[0, 0]
    return (
        float((mass.sum(0) * axis).sum() / mass.sum()),
        float((mass.sum(1) * axis).sum() / mass.sum()),
    )


@pytest.mark.parametrize(
    ("degrees", "scale", "shift"),
    [(0, 1, (0.1, -0.05)), (20, 1, (0, 0)), (0, 1.3, (0, 0)), (-15, 0.8, (0.05, 0.08))],
)
def test_landmarks_move_with_the_picture(
    degrees: float, scale: float, shift: tuple[float, float]
) -> None:
    image, landmarks = dot_at(0.4, 0.55)
    warped, moved = warp_faces(
        image,
        landmarks,
        similarity=Similarity(
            angle=torch.tensor([math.radians(degrees)]),
            scale=torch.tensor([float(scale)]),
            shift=torch.tensor([shift], dtype=torch.float32),
        ),
    )
    x, y = centre_of(warped)
    assert moved[0, 7, 0].item() == pytest.approx(x, abs=0.004)
    assert moved[0, 7, 1].item() == pytest.approx(y, abs=0.004)
    assert moved[0, 7, 2].item() == pytest.approx(0.1 * scale)


def test_mirrored_landmarks_are_renumbered() -> None:
    image, _ = dot_at(0.3, 0.5)
    landmarks = torch.rand(1, 478, 3)
    mirror = AugmentationConfig(
        flip_probability=1, warp_probability=0, colour_probability=0, grey_probability=0
    )
    mirrored, moved = augment_faces(image, landmarks, config=mirror, draws=draws_of(image))
    assert torch.equal(mirrored, image.flip(3))
    right_eye, left_eye = 33, FLIP_PERMUTATION[33]
    assert left_eye == 263
    assert torch.allclose(moved[0, right_eye, 0], 1 - landmarks[0, left_eye, 0])
    assert torch.equal(moved[0, right_eye, 1:], landmarks[0, left_eye, 1:])


def test_nothing_changes_when_nothing_is_asked_for() -> None:
    image, landmarks = dot_at(0.3, 0.5)
    same, still = augment_faces(image, landmarks, config=QUIET, draws=draws_of(image))
    assert torch.equal(same, image)
    assert torch.equal(still, landmarks)


def test_grey_faces_have_no_colour_and_all_stay_in_range() -> None:
    images = torch.rand(8, 3, SIDE, SIDE)
    config = AugmentationConfig(grey_probability=1, colour_probability=1, warp_probability=1)
    changed, _ = augment_faces(images, torch.rand(8, 478, 3), config=config, draws=draws_of(images))
    assert torch.allclose(changed[:, 0], changed[:, 1])
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1 + 1e-6


def test_the_same_step_draws_the_same_changes() -> None:
    images, landmarks = torch.rand(4, 3, SIDE, SIDE), torch.rand(4, 478, 3)
    runs = [
        augment_faces(
            images,
            landmarks,
            config=AugmentationConfig(),
            draws=draws_of(images, step=step),
        )[0]
        for step in (5, 5, 6)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
