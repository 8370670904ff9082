import numpy as np
import pytest
import torch
from PIL import Image

from model_store.image_tensor import (
    RgbImage,
    image_to_tensor,
    images_to_tensor,
    levels_to_unit,
    resize_bicubic,
    resize_levels,
    round_to_uint8_levels,
    stack_levels,
    tensor_to_image,
)


@pytest.fixture
def photo() -> RgbImage:
    """(96, 128, 3) uint8 noise over a gradient: every frequency is in it."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, 128)[None, :, None]
    return (ramp + rng.integers(0, 55, (96, 128, 3))).astype(np.uint8)


def test_an_image_survives_the_way_to_a_tensor_and_back(photo: RgbImage) -> None:
    tensor = image_to_tensor(photo)
    assert tensor.shape == (3, 96, 128)
    assert tensor.dtype == torch.float32
    assert torch.equal(tensor[:, 5, 7] * 255, torch.from_numpy(photo[5, 7]).float())
    assert np.array_equal(tensor_to_image(tensor), photo)


def test_a_tensor_owns_its_pixels(photo: RgbImage) -> None:
    tensor = image_to_tensor(photo)
    before = tensor.clone()
    photo[:] = 0
    assert torch.equal(tensor, before)


def test_values_outside_the_range_are_clamped_not_wrapped() -> None:
    tensor = torch.tensor([-0.5, 0.0, 1.5])[:, None, None]
    assert tensor_to_image(tensor).tolist() == [[[0, 0, 255]]]


def test_an_array_of_another_kind_is_refused(photo: RgbImage) -> None:
    with pytest.raises(ValueError, match=r"float64 \(96, 128, 3\); it must be uint8"):
        image_to_tensor(photo.astype(np.float64))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be uint8"):
        image_to_tensor(photo[..., 0])


def test_a_batch_of_different_sizes_is_refused(photo: RgbImage) -> None:
    with pytest.raises(ValueError, match="exactly one size"):
        images_to_tensor([photo, photo[:50]])
    with pytest.raises(ValueError, match="exactly one size"):
        images_to_tensor([])


@pytest.mark.parametrize("size", [(16, 16), (32, 24), (64, 48)])
def test_bicubic_downsampling_is_within_one_level_of_pillows(
    photo: RgbImage, size: tuple[int, int]
) -> None:
    width, height = size
    ours = resize_bicubic(images_to_tensor([photo]), height=height, width=width)
    pillows = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC))
    difference = tensor_to_image(ours[0]).astype(int) - pillows.astype(int)
    assert np.abs(difference).max() <= 1


def test_rounding_gives_the_values_of_an_8_bit_file() -> None:
    levels = round_to_uint8_levels(torch.tensor([-1.0, 0.3, 0.5, 2.0])) * 255
    assert torch.allclose(levels, torch.tensor([0.0, 76.0, 128.0, 255.0]), atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(20, 31), (100, 210), (64, 64)])
def test_eight_bit_resizing_is_within_three_levels_of_pillows(
    photo: RgbImage, height: int, width: int
) -> None:
    expected = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BICUBIC))
    photo.flags.writeable = False  # as a decoder gives it
    resized = resize_levels(photo, height=height, width=width)
    assert resized.flags.c_contiguous
    assert np.abs(resized.astype(int) - expected).max() <= 3


def test_bytes_are_stacked_and_brought_to_unit_range(photo: RgbImage) -> None:
    levels = stack_levels([photo, photo[::-1]])
    assert levels.dtype == torch.uint8
    assert torch.equal(levels_to_unit(levels), images_to_tensor([photo, photo[::-1]]))
