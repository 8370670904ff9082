from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from model_store.image_tensor import images_to_tensor
from tests.training.perceptual.slow_reference import lpips_squeeze
from training.perceptual.lpips import Lpips, load_squeeze_lpips, load_vgg_lpips
from training.perceptual.squeezenet import SqueezeNetFeatures
from training.perceptual.vgg16 import TORCHVISION_VGG16_FILE, Vgg16


@pytest.fixture
def random_lpips() -> Lpips:
    torch.manual_seed(0)
    lpips = Lpips(SqueezeNetFeatures()).double()
    for head in lpips.heads:
        head.copy_(torch.rand(head.shape))
    return lpips


@pytest.fixture(scope="module")
def published_lpips(data_root: Path) -> Lpips:
    return load_squeeze_lpips(data_root / "weights")


def pair_of_images(count: int, side_px: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    first, second = torch.rand(2, count, 3, side_px, side_px, generator=generator).double()
    return first, second


def reference_of(lpips: Lpips, image: Tensor, other: Tensor) -> float:
    weights = {name: value.numpy() for name, value in lpips.backbone.state_dict().items()}
    heads = [head.numpy() for head in lpips.heads]
    return lpips_squeeze(image.numpy(), other.numpy(), weights, heads)


@pytest.mark.parametrize("side_px", [20, 35])
def test_lpips_equals_the_papers_formula_in_loops(random_lpips: Lpips, side_px: int) -> None:
    images, others = pair_of_images(2, side_px)
    expected = [reference_of(random_lpips, a, b) for a, b in zip(images, others, strict=True)]
    np.testing.assert_allclose(random_lpips(images, others).numpy(), expected, rtol=1e-6)


def test_published_weights_equal_the_papers_formula_in_loops(data_root: Path) -> None:
    lpips = load_squeeze_lpips(data_root / "weights").double()
    images, others = pair_of_images(1, 33)
    expected = reference_of(lpips, images[0], others[0])
    assert float(lpips(images, others)) == pytest.approx(expected, rel=1e-6)


def test_published_weights_give_the_published_value_of_noise(published_lpips: Lpips) -> None:
    """The example in torchmetrics' documentation of the function: 0.1008 for these images."""
    generator = torch.Generator().manual_seed(123)
    images, others = torch.rand(2, 10, 3, 100, 100, generator=generator)
    assert float(published_lpips(images, others).mean()) == pytest.approx(0.1008, abs=5e-5)


def test_vgg_weights_give_the_published_value_of_noise(data_root: Path) -> None:
    """The example in torchmetrics' documentation of the class: 0.3493 for these images."""
    if not (data_root / "weights" / TORCHVISION_VGG16_FILE.names[0]).is_file():
        pytest.skip(f"needs {TORCHVISION_VGG16_FILE.source} in the data folder's weights")
    generator = torch.Generator().manual_seed(123)
    images, others = torch.rand(2, 10, 3, 100, 100, generator=generator)
    distances = load_vgg_lpips(data_root / "weights")(images, others)
    assert float(distances.mean()) == pytest.approx(0.3493, abs=5e-5)


def test_lpips_over_vgg_taps_five_stages() -> None:
    torch.manual_seed(0)
    vgg16 = Vgg16()
    lpips = Lpips(vgg16).double()
    images, others = pair_of_images(1, 16)
    shift, scale = (
        torch.tensor(v, dtype=torch.float64)[:, None, None]
        for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))
    )
    expected = 0.0
    taps = (vgg16((2 * i - 1 - shift) / scale) for i in (images, others))
    for first, second in zip(*taps, strict=True):
        difference = F.normalize(first, dim=1) - F.normalize(second, dim=1)
        expected += float(difference.square().mean())
    assert len(lpips.heads) == 5
    assert float(lpips(images, others)) == pytest.approx(expected, rel=1e-3)


def test_equal_images_have_no_distance_and_order_does_not_matter(random_lpips: Lpips) -> None:
    images, others = pair_of_images(3, 32)
    assert torch.equal(random_lpips(images, images), torch.zeros(3, dtype=torch.float64))
    forth, back = random_lpips(images, others), random_lpips(others, images)
    torch.testing.assert_close(forth, back, rtol=1e-12, atol=0)
    assert bool((forth > 0).all())


def test_each_pair_has_its_own_distance(random_lpips: Lpips) -> None:
    images, others = pair_of_images(3, 32)
    alone = torch.cat([random_lpips(images[i : i + 1], others[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(random_lpips(images, others), alone)


def test_a_blurred_face_is_farther_than_one_with_a_changed_level(
    published_lpips: Lpips, samples: Path
) -> None:
    with Image.open(samples / "face_128px.png") as image:
        face = images_to_tensor([np.asarray(image.convert("RGB"))])
        small = image.convert("RGB").resize((16, 16), Image.Resampling.BICUBIC)
    large = small.resize((128, 128), Image.Resampling.BICUBIC)
    blurred = images_to_tensor([np.asarray(large)])
    brighter = (face + 1 / 255).clamp(0, 1)
    assert float(published_lpips(blurred, face)) > 0.2
    assert float(published_lpips(brighter, face)) < 0.001


def test_gradients_are_those_of_finite_differences(random_lpips: Lpips) -> None:
    images, others = pair_of_images(1, 17)
    images.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: random_lpips(x, others), (images,), fast_mode=True, atol=1e-8
    )


def test_a_place_without_activation_has_a_finite_gradient(random_lpips: Lpips) -> None:
    for parameter in random_lpips.backbone.parameters():
        parameter.zero_()
    images, others = pair_of_images(1, 32)
    images.requires_grad_()
    random_lpips(images, others).sum().backward()
    assert images.grad is not None
    assert bool(torch.isfinite(images.grad).all())


def test_nothing_in_lpips_can_learn(random_lpips: Lpips) -> None:
    images, others = pair_of_images(1, 32)
    random_lpips(images.requires_grad_(), others).sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in random_lpips.parameters())


def test_autocast_does_not_change_lpips(random_lpips: Lpips) -> None:
    lpips = random_lpips.float()
    images, others = (i.float() for i in pair_of_images(2, 32))
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = lpips(images, others)
    assert torch.equal(under_autocast, lpips(images, others))
    assert lpips(images.bfloat16(), others.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("shape", [(1, 3, 32, 33), (2, 3, 32, 32), (1, 1, 32, 32), (3, 32, 32)])
def test_images_that_cannot_be_compared_are_refused(
    random_lpips: Lpips, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"both must be the same \(N, 3, H, W\)"):
        random_lpips(torch.zeros(shape), torch.zeros(1, 3, 32, 32))
