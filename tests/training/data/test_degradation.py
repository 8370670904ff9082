import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from model_store.image_tensor import image_to_tensor, tensor_to_image
from training.config import DegradationConfig
from training.data.degradation import degrade, downsample
from training.data.draws import BatchDraws, step_generator
from training.data.faceless import make_faceless

IDS = torch.arange(6)


def draws_of(faces: Tensor, *, step: int = 0) -> BatchDraws:
    return BatchDraws.of_step(seed=0, step=step, batch_size=len(faces))


@pytest.fixture
def faces() -> Tensor:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    large = [Image.fromarray(c).resize((128, 128), Image.Resampling.BICUBIC) for c in coarse]
    return torch.stack([image_to_tensor(np.asarray(image)) for image in large])


@pytest.mark.parametrize("side_px", [16, 32])
def test_the_low_resolution_image_is_pillows_but_for_its_roundings(
    faces: Tensor, side_px: int
) -> None:
    ours = downsample(faces, side_px=side_px)
    for face, small in zip(faces, ours, strict=True):
        pillow = Image.fromarray(tensor_to_image(face))
        theirs = np.asarray(pillow.resize((side_px, side_px), Image.Resampling.BICUBIC))
        difference = np.abs(tensor_to_image(small).astype(int) - theirs)
        assert difference.max() <= 5
        assert (difference <= 1).mean() > 0.99


def test_without_damage_degrading_is_downsampling(faces: Tensor) -> None:
    degraded = degrade(
        faces, side_px=16, config=DegradationConfig(), draws=draws_of(faces), ids=IDS
    )
    assert torch.equal(degraded, downsample(faces, side_px=16))


@pytest.mark.parametrize("damage", ["blur_probability", "noise_probability", "jpeg_probability"])
def test_each_damage_changes_the_image_and_keeps_it_8_bit(faces: Tensor, damage: str) -> None:
    config = DegradationConfig(**{damage: 1.0})  # type: ignore[arg-type]
    degraded = degrade(faces, side_px=32, config=config, draws=draws_of(faces), ids=IDS)
    clean = downsample(faces, side_px=32)
    assert degraded.shape == clean.shape
    assert all(not torch.equal(a, b) for a, b in zip(degraded, clean, strict=True))
    assert torch.allclose(degraded * 255, (degraded * 255).round(), atol=1e-3)
    assert 0 <= float(degraded.min()) <= float(degraded.max()) <= 1
    assert float((degraded - clean).abs().mean()) < 0.1  # still the same face


def test_blur_smooths(faces: Tensor) -> None:
    config = DegradationConfig(blur_probability=1, max_blur_sigma=1.0)
    blurred = degrade(faces, side_px=32, config=config, draws=draws_of(faces, step=1), ids=IDS)
    clean = downsample(faces, side_px=32)
    assert float(blurred.diff(dim=3).abs().mean()) < float(clean.diff(dim=3).abs().mean())


def test_faceless_pictures_differ_from_the_face_and_stay_in_range(faces: Tensor) -> None:
    many = faces.repeat(6, 1, 1, 1)
    made = make_faceless(many, generator=step_generator(seed=0, step=0))
    assert made.shape == many.shape
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
    assert all(not torch.equal(a, b) for a, b in zip(made, many, strict=True))
