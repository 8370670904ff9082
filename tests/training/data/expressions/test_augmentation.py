from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.tiny_classifiers import TINY_CLASSIFIERS
from training.config import AugmentationConfig, ExpressionTaskConfig
from training.data.draws import BatchDraws
from training.data.expressions.augmentation import augment_expressions, reduce_and_enlarge

STILL = AugmentationConfig(
    flip_probability=0, warp_probability=0, colour_probability=0, grey_probability=0
)
NOTHING = ExpressionTaskConfig(
    network=TINY_CLASSIFIERS[0], low_resolution_probability=0, erasing_probability=0
)


def smooth_faces(count: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 9, 9, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=112, mode="bilinear")
    return fine.mul(255).round().div(255)


def draws(count: int = 8, *, step: int = 0, rows: range | None = None) -> BatchDraws:
    return BatchDraws.of_step(seed=1, step=step, batch_size=count, rows=rows)


def augment(images: Tensor, config: AugmentationConfig, task: ExpressionTaskConfig) -> Tensor:
    return augment_expressions(images, config=config, task=task, draws=draws(len(images)))


def test_without_any_share_nothing_changes() -> None:
    faces = smooth_faces()
    assert torch.equal(augment(faces, STILL, NOTHING), faces)


def test_a_mirrored_face_is_flipped_sideways() -> None:
    faces = smooth_faces()
    changed = augment(faces, replace(STILL, flip_probability=1), NOTHING)
    assert torch.equal(changed, faces.flip(3))


def test_a_reduced_face_is_what_pillow_leaves_of_it() -> None:
    faces = smooth_faces(6)
    task = replace(NOTHING, low_resolution_probability=1.0, low_resolution_sides_px=(20, 20))
    reduced = augment(faces, STILL, task)
    for face, found in zip(faces, reduced, strict=True):
        pixels = face.mul(255).round().byte().permute(1, 2, 0).numpy()
        small = Image.fromarray(pixels).resize((20, 20), Image.Resampling.BICUBIC)
        large = np.asarray(small.resize((112, 112), Image.Resampling.BICUBIC))
        difference = found.mul(255).permute(1, 2, 0).numpy() - large
        # Pillow rounds and clamps between its two passes.
        assert np.abs(difference).max() <= 3
        assert np.abs(difference).mean() < 0.3
    assert torch.allclose(reduced, reduce_and_enlarge(faces, side_px=20), atol=1.01 / 255)


def test_a_face_that_is_as_large_stays_as_it_is() -> None:
    faces = smooth_faces(2)
    assert torch.equal(reduce_and_enlarge(faces, side_px=112), faces)


def test_sides_are_drawn_from_the_whole_range() -> None:
    noise = torch.rand(200, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    task = replace(NOTHING, low_resolution_probability=0.5)
    reduced = augment(noise, STILL, task)
    lost = (reduced - noise).square().mean((1, 2, 3))
    assert 70 < int((lost > 0).sum()) < 130
    # White noise keeps about the share (side / 112)^2 of its variance of 1/12.
    assert float(lost[lost > 0].min()) < 0.4 / 12
    assert float(lost.max()) > 0.9 / 12


def test_what_is_painted_over_is_one_rectangle_within_its_share_in_the_mean_colour() -> None:
    faces = smooth_faces(40)
    task = replace(NOTHING, erasing_probability=1.0, erased_share=(0.05, 0.15))
    covered = augment(faces, STILL, task)
    for face, found in zip(faces, covered, strict=True):
        changed = (found != face).any(0)
        rows, columns = changed.any(1).nonzero()[:, 0], changed.any(0).nonzero()[:, 0]
        height = int(rows[-1] - rows[0] + 1)
        width = int(columns[-1] - columns[0] + 1)
        assert 0.04 < height * width / 112**2 < 0.17
        inside = found[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert torch.allclose(inside, face.mean((1, 2))[:, None, None].expand_as(inside))


def test_some_faces_only_are_painted_over() -> None:
    faces = smooth_faces(200)
    changed = augment(faces, STILL, replace(NOTHING, erasing_probability=0.25)) != faces
    assert 30 < int(changed.flatten(1).any(1).sum()) < 70


@pytest.mark.parametrize("rows", [range(0, 3), range(5, 8)])
def test_a_share_of_a_batch_is_changed_as_in_the_whole(rows: range) -> None:
    faces = smooth_faces()
    config, task = (
        AugmentationConfig(),
        replace(NOTHING, low_resolution_probability=0.5, erasing_probability=0.5),
    )
    whole = augment_expressions(faces, config=config, task=task, draws=draws())
    part = augment_expressions(faces[list(rows)], config=config, task=task, draws=draws(rows=rows))
    assert torch.allclose(part, whole[list(rows)], atol=1e-5)
    assert 0 <= float(whole.min()) < float(whole.max()) <= 1
