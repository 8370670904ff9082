import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from model_store.image_tensor import image_to_tensor, tensor_to_image
from training.data.resampling import blur_gaussian, resize_canvas

BOX, TRIANGLE, CUBIC = 0, 1, 2
PILLOW = {
    TRIANGLE: Image.Resampling.BILINEAR,
    CUBIC: Image.Resampling.BICUBIC,
}


def picture(side: int) -> Tensor:
    coarse = np.random.default_rng(side).integers(40, 216, (7, 7, 3), dtype=np.uint8)
    large = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    return image_to_tensor(np.asarray(large))


@pytest.mark.parametrize("kernel", [TRIANGLE, CUBIC])
@pytest.mark.parametrize(("before", "after"), [(48, 32), (48, 9), (48, 48), (30, 48), (48, 17)])
def test_resizing_is_pillows(kernel: int, before: int, after: int) -> None:
    image = picture(before)
    canvas = torch.zeros(1, 3, 48, 48)
    canvas[..., :before, :before] = image
    resized = resize_canvas(
        canvas,
        from_sides=torch.tensor([before]),
        to_sides=torch.tensor([after]),
        canvas_px=48,
        kernels=torch.tensor([kernel]),
    )[0, :, :after, :after]
    pillow = Image.fromarray(tensor_to_image(image)).resize((after, after), PILLOW[kernel])
    difference = np.abs(tensor_to_image(resized).astype(int) - np.asarray(pillow))
    assert difference.max() <= 1


@pytest.mark.parametrize("after", [32, 17, 9])
def test_reducing_by_the_box_kernel_averages_the_area_that_a_pixel_covers(after: int) -> None:
    image = picture(48)
    resized = resize_canvas(
        image[None],
        from_sides=torch.tensor([48]),
        to_sides=torch.tensor([after]),
        canvas_px=after,
        kernels=torch.tensor([BOX]),
    )[0]
    # Cut into pieces so small that old and new pixels are whole numbers of them.
    pieces = image.repeat_interleave(after, 1).repeat_interleave(after, 2)
    areas = pieces.view(3, after, 48, after, 48).mean((2, 4))
    assert torch.allclose(resized, areas, atol=1e-5)


def test_images_of_one_canvas_keep_their_own_sizes_and_repeat_their_border() -> None:
    images = torch.stack([picture(32), picture(32)])
    resized = resize_canvas(
        images,
        from_sides=torch.tensor([32, 32]),
        to_sides=torch.tensor([10, 20]),
        canvas_px=32,
        kernels=torch.tensor([CUBIC, TRIANGLE]),
    )
    alone = resize_canvas(
        images[1:],
        from_sides=torch.tensor([32]),
        to_sides=torch.tensor([20]),
        canvas_px=32,
        kernels=torch.tensor([TRIANGLE]),
    )
    assert torch.equal(alone[0], resized[1])
    assert torch.equal(resized[0, :, 9, :10], resized[0, :, 31, :10])
    assert torch.equal(resized[0, :, :10, 9], resized[0, :, :10, 20])


def slow_gaussian(image: Tensor, *, sigma: tuple[float, float], angle: float) -> Tensor:
    """A direct sum over the kernel, borders repeated."""
    radius = 12
    cos, sin = math.cos(angle), math.sin(angle)
    total, weights = torch.zeros_like(image), 0.0
    rows, columns = torch.arange(image.shape[1]), torch.arange(image.shape[2])
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            along, across = cos * dx + sin * dy, cos * dy - sin * dx
            weight = math.exp(-0.5 * ((along / sigma[0]) ** 2 + (across / sigma[1]) ** 2))
            y = (rows + dy).clamp(0, image.shape[1] - 1)
            x = (columns + dx).clamp(0, image.shape[2] - 1)
            total += weight * image[:, y][:, :, x]
            weights += weight
    return total / weights


@pytest.mark.parametrize(
    ("sigma", "angle"), [((2.0, 2.0), 0.3), ((3.0, 0.8), 0.0), ((3.0, 0.8), math.pi / 3)]
)
def test_blur_is_the_sum_over_a_gaussian_kernel(sigma: tuple[float, float], angle: float) -> None:
    image = picture(24)
    [blurred] = blur_gaussian(
        image[None],
        sigma_x=torch.tensor([sigma[0]]),
        sigma_y=torch.tensor([sigma[1]]),
        angle=torch.tensor([angle]),
        max_sigma=3.0,
    )
    assert torch.allclose(blurred, slow_gaussian(image, sigma=sigma, angle=angle), atol=2e-3)


def test_a_sigma_of_zero_leaves_an_image_alone() -> None:
    image = picture(16)[None]
    zero = torch.zeros(1)
    blurred = blur_gaussian(image, sigma_x=zero, sigma_y=zero, angle=zero, max_sigma=2.0)
    assert torch.allclose(blurred, image, atol=1e-6)
