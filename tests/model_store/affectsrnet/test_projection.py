import pytest
import torch
from torch import Tensor

from model_store.affectsrnet.config import AffectSRNetConfig
from model_store.affectsrnet.network import AffectSRNet
from model_store.affectsrnet.projection import ConsistencyProjection
from model_store.image_tensor import resize_bicubic


def reduce(images: Tensor, *, scale: int) -> Tensor:
    side = images.shape[-1] // scale
    return resize_bicubic(images, height=side, width=side)


@pytest.mark.parametrize("scale", [4, 8])
def test_the_result_reduces_to_the_input(scale: int) -> None:
    projection = ConsistencyProjection(lr_size_px=128 // scale, scale=scale)
    lr = torch.rand(2, 3, 128 // scale, 128 // scale)
    projected = projection(torch.rand(2, 3, 128, 128), lr)
    assert torch.allclose(reduce(projected, scale=scale), lr, atol=1e-5)


def test_an_image_that_agrees_already_is_left_as_it_is() -> None:
    projection = ConsistencyProjection(lr_size_px=16, scale=8)
    sr = torch.rand(1, 3, 128, 128)
    assert torch.allclose(projection(sr, reduce(sr, scale=8)), sr, atol=1e-5)


def test_the_original_is_never_farther_away_than_before() -> None:
    projection = ConsistencyProjection(lr_size_px=32, scale=4)
    hr = torch.rand(8, 3, 128, 128)
    sr = hr + 0.1 * torch.randn(hr.shape, generator=torch.Generator().manual_seed(0))
    projected = projection(sr, reduce(hr, scale=4))
    before, after = ((x - hr).square().mean((1, 2, 3)) for x in (sr, projected))
    assert bool((after < before).all())
    # Of white noise the share that the reduction sees goes: 1 / scale^2 of the squared error.
    assert float((after / before).mean()) == pytest.approx(1 - 1 / 16, abs=0.005)


def test_another_size_is_refused() -> None:
    projection = ConsistencyProjection(lr_size_px=16, scale=8)
    with pytest.raises(ValueError, match=r"input is 20 x 20 px; .* takes 16 x 16 px"):
        projection(torch.rand(1, 3, 160, 160), torch.rand(1, 3, 20, 20))


def test_the_network_ends_with_it_and_keeps_its_keys() -> None:
    sizes = {"scale": 8, "num_features": 8, "growth_channels": 4, "num_blocks": 1}
    plain, consistent = (
        AffectSRNet(AffectSRNetConfig(**sizes, landmark_fusion=False, lr_consistency=on)).eval()
        for on in (False, True)
    )
    consistent.load_state_dict(plain.state_dict())
    lr = torch.rand(2, 3, 16, 16)
    assert torch.allclose(reduce(consistent(lr), scale=8), lr, atol=1e-5)
    assert not torch.allclose(reduce(plain(lr), scale=8), lr, atol=1e-3)
