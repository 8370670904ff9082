import io

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from model_store.image_tensor import RgbImage, image_to_tensor, images_to_tensor, tensor_to_image
from training.data.jpeg import compress_jpeg

Levels = npt.NDArray[np.int64]


def texture(*, seed: int, size: tuple[int, int] = (64, 48)) -> RgbImage:
    """A picture with edges, smooth parts and colour."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))


def by_pillow(image: RgbImage, *, quality: int) -> RgbImage:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(buffer).convert("RGB"))


QUALITIES = [10, 30, 49, 50, 75, 95]


def compare(image: RgbImage, *, quality: int) -> tuple[Levels, Levels]:
    """Differences from the original that a real encoder makes, and that ours makes."""
    [ours] = compress_jpeg(images_to_tensor([image]), quality=torch.tensor([quality]))
    original = image.astype(np.int64)
    return by_pillow(image, quality=quality) - original, tensor_to_image(ours) - original


@pytest.mark.parametrize("quality", QUALITIES)
def test_grey_is_damaged_as_by_a_real_encoder(quality: int) -> None:
    grey = np.asarray(Image.fromarray(texture(seed=quality)).convert("L").convert("RGB"))
    real, ours = compare(grey, quality=quality)
    # libjpeg computes in whole numbers; what is left of that is a level here and there.
    assert np.abs(real - ours).max() <= 4
    assert np.abs(real - ours).mean() < 0.2


@pytest.mark.parametrize("quality", QUALITIES)
def test_colour_is_damaged_as_by_a_real_encoder(quality: int) -> None:
    real, ours = compare(texture(seed=quality), quality=quality)
    # A colour's coefficient near the middle of a step may be rounded the other way in a block.
    assert np.abs(real - ours).mean() < 0.12 * np.abs(real).mean() + 0.6
    assert np.abs(ours).mean() == pytest.approx(np.abs(real).mean(), rel=0.05)


def test_each_image_has_its_own_quality() -> None:
    images = images_to_tensor([texture(seed=1)] * 3)
    damaged = compress_jpeg(images, quality=torch.tensor([95, 30, 5]))
    errors = (damaged - images).square().mean((1, 2, 3)).tolist()
    assert errors[0] < errors[1] < errors[2]
    [alone] = compress_jpeg(images[:1], quality=torch.tensor([30]))
    assert torch.equal(alone, damaged[1])


def test_a_flat_grey_survives_any_quality() -> None:
    grey = image_to_tensor(np.full((16, 16, 3), 128, np.uint8))[None]
    assert torch.equal(compress_jpeg(grey, quality=torch.tensor([1])), grey)


def test_the_result_can_be_held_in_8_bits(rng_images: Tensor) -> None:
    damaged = compress_jpeg(rng_images, quality=torch.tensor([20.0, 60.0]))
    assert torch.equal((damaged * 255).round() / 255, damaged)
    assert 0 <= float(damaged.min()) <= float(damaged.max()) <= 1


@pytest.fixture
def rng_images() -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_sides_that_cut_a_block_are_refused() -> None:
    with pytest.raises(ValueError, match="images are 24 x 16 px; each side must be divisible by"):
        compress_jpeg(torch.zeros(1, 3, 16, 24), quality=torch.tensor([50]))
