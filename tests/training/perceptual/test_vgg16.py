from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.errors import FeatureWeightsError
from training.perceptual.vgg16 import (
    CaffeVgg16,
    Vgg16,
    load_caffe_vgg16,
    load_torchvision_vgg16,
)

# Simonyan and Zisserman 2015, table 1, column D, under torchvision's numbers; "P" is a pool.
COLUMN_D = (64, 64, "P", 128, 128, "P", 256, 256, 256, "P", 512, 512, 512, "P", 512, 512, 512)


def taps_by_hand(network: Vgg16, images: Tensor) -> list[Tensor]:
    weights = network.state_dict()
    taps, number = [], 0
    for width in COLUMN_D:
        if width == "P":
            taps.append(images)
            images = F.max_pool2d(images, 2)
            number += 1
            continue
        kernel, bias = weights[f"features.{number}.weight"], weights[f"features.{number}.bias"]
        assert len(bias) == width
        images = F.conv2d(images, kernel, bias, padding=1).clamp_min(0)
        number += 2
    return [*taps, images]


def test_vgg16_is_column_d_tapped_before_each_pool() -> None:
    network = Vgg16()
    images = torch.randn(1, 3, 16, 16)
    expected = taps_by_hand(network, images)
    taps = network(images)
    assert network.widths == (64, 128, 256, 512, 512)
    assert [tap.shape[1] for tap in taps] == list(network.widths)
    for tap, by_hand in zip(taps, expected, strict=True):
        torch.testing.assert_close(tap, by_hand)


def test_caffes_network_sees_bgr_levels_less_their_mean() -> None:
    vgg16 = CaffeVgg16()
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(1, 3, 8, 8)
    seen: list[Tensor] = []
    vgg16.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    taps = vgg16(red)
    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor([-103.939, -116.779, 131.32]))
    raw = vgg16.network(seen[0])
    assert [tap.shape for tap in taps] == [(1, 64, 8, 8), (1, 128, 4, 4), (1, 256, 2, 2)]
    for tap, levels in zip(taps, raw, strict=True):
        torch.testing.assert_close(tap, levels / 255)
    assert not any(p.requires_grad for p in vgg16.parameters())


def test_the_published_caffe_weights_load(data_root: Path) -> None:
    vgg16 = load_caffe_vgg16(data_root / "weights")
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert not vgg16.training
    assert all(bool(torch.isfinite(tap).all()) for tap in vgg16(images))


def test_caffes_weights_do_not_pass_for_torchvisions(data_root: Path, tmp_path: Path) -> None:
    (caffe,) = (data_root / "weights").glob("vgg16_caffe*.pth")
    whole = Vgg16().state_dict()
    known = torch.load(caffe, map_location="cpu", weights_only=True)
    torch.save(whole | known, tmp_path / "vgg16-397923af.pth")
    with pytest.raises(FeatureWeightsError, match="must be torchvision's VGG16 for ImageNet"):
        load_torchvision_vgg16(tmp_path)


def test_other_weights_do_not_pass_for_caffes(tmp_path: Path) -> None:
    torch.save(Vgg16(num_stages=3).state_dict(), tmp_path / "vgg16-00b39a1b.pth")
    with pytest.raises(FeatureWeightsError, match="must be the authors' Caffe VGG16"):
        load_caffe_vgg16(tmp_path)
