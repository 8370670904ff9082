from collections.abc import Callable
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from model_store.affectsrnet import AffectSRNet, AffectSRNetConfig
from model_store.image_tensor import image_to_tensor, round_to_uint8_levels
from tests.model_store.affectsrnet import slow_reference

BuildNetwork = Callable[..., AffectSRNet]


def wake_merges(network: AffectSRNet) -> AffectSRNet:
    """Give the 1x1 convs that start at zero some weight.

    While they are at zero the landmarks change nothing, and no gradient passes them to the branch.
    """
    for merge in network.merges:
        nn.init.normal_(merge.get_parameter("fuse.weight"), std=0.2)
    return network


def backbone_state(network: AffectSRNet) -> dict[str, Tensor]:
    state = network.state_dict()
    return {key: state[key] for key in state if not key.startswith(("gcn.", "merges."))}


# --- shapes, sizes, names -------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [4, 8])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (9, 14)])
def test_output_is_scale_times_the_input(
    build_network: BuildNetwork, landmarks: Tensor, scale: int, height: int, width: int
) -> None:
    sr = build_network(scale)(torch.rand(4, 3, height, width), landmarks)
    assert sr.shape == (4, 3, scale * height, scale * width)
    assert sr.dtype == torch.float32


@pytest.mark.parametrize(
    ("scale", "num_backbone", "num_whole"), [(4, 5_911_235, 5_952_267), (8, 5_948_163, 5_989_195)]
)
def test_parameter_counts(scale: int, num_backbone: int, num_whole: int) -> None:
    network = AffectSRNet(AffectSRNetConfig(scale=scale))
    assert sum(value.numel() for value in backbone_state(network).values()) == num_backbone
    assert sum(parameter.numel() for parameter in network.parameters()) == num_whole


@pytest.mark.parametrize(("scale", "num_stages"), [(4, 2), (8, 3)])
def test_backbone_keys_are_those_of_the_starting_weights(scale: int, num_stages: int) -> None:
    outer = ["conv_first", "conv_body", "conv_hr", "conv_last"]
    outer += [f"conv_up{stage}" for stage in range(1, num_stages + 1)]
    expected = {f"{conv}.{kind}" for conv in outer for kind in ("weight", "bias")}
    for i, j, k in product(range(8), range(1, 4), range(1, 6)):
        dense_block = f"body.{i}.rdb{j}"
        expected |= {
            f"{dense_block}.conv{k}.weight",
            f"{dense_block}.norm{k}.weight",
            f"{dense_block}.norm{k}.bias",
        }
    assert backbone_state(AffectSRNet(AffectSRNetConfig(scale=scale))).keys() == expected


def test_the_branch_lies_under_gcn_and_merges(build_network: BuildNetwork) -> None:
    whole = build_network().state_dict().keys()
    backbone = build_network(landmark_fusion=False).state_dict().keys()
    branch = {".".join(key.split(".")[:2]) for key in whole - backbone}
    assert branch == {"gcn.layers", "merges.0", "merges.1", "merges.2"}


# --- the figure -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [4, 8])
@pytest.mark.parametrize("instance_norm", [True, False])
def test_backbone_equals_an_independent_slow_one(
    build_network: BuildNetwork, scale: int, instance_norm: bool
) -> None:
    network = build_network(scale, instance_norm=instance_norm, landmark_fusion=False, num_blocks=2)
    network = network.double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    lr = torch.rand(1, 3, 6, 5, dtype=torch.float64)

    weights = {key: value.numpy() for key, value in network.state_dict().items()}
    expected = slow_reference.backbone(lr[0].numpy(), weights, scale=scale, num_blocks=2)

    np.testing.assert_allclose(network(lr)[0].detach().numpy(), expected, atol=1e-10)


def test_upsampling_can_be_bicubic(build_network: BuildNetwork) -> None:
    nearest = build_network(landmark_fusion=False)
    bicubic = build_network(landmark_fusion=False, upsampling="bicubic")
    bicubic.load_state_dict(nearest.state_dict())
    lr = torch.rand(1, 3, 8, 8)
    assert bool((nearest(lr) - bicubic(lr)).abs().max() > 1e-3)


@pytest.mark.parametrize("graph_map", ["pooled", "splat"])
def test_a_fresh_network_equals_its_backbone(
    build_network: BuildNetwork, landmarks: Tensor, graph_map: str
) -> None:
    network = build_network(8, graph_map=graph_map)
    backbone = build_network(8, landmark_fusion=False)
    backbone.load_state_dict(backbone_state(network))
    lr = torch.rand(4, 3, 16, 16)
    assert torch.equal(network(lr, landmarks), backbone(lr))


@pytest.mark.parametrize("graph_map", ["pooled", "splat"])
def test_each_of_three_merges_brings_the_landmarks_in(
    build_network: BuildNetwork, landmarks: Tensor, graph_map: str
) -> None:
    lr = torch.rand(4, 3, 16, 16)
    for place in range(3):
        network = build_network(8, graph_map=graph_map)
        nn.init.normal_(network.merges[place].get_parameter("fuse.weight"))
        change = network(lr, landmarks) - network(lr, landmarks.flip(0))
        assert bool(change.abs().max() > 1e-4)


@pytest.mark.parametrize("instance_norm", [True, False])
@pytest.mark.parametrize("landmark_fusion", [True, False])
def test_switches_of_table_three(
    build_network: BuildNetwork, landmarks: Tensor, instance_norm: bool, landmark_fusion: bool
) -> None:
    network = build_network(instance_norm=instance_norm, landmark_fusion=landmark_fusion)
    keys = network.state_dict().keys()
    assert any(".norm1." in key and key.startswith("body") for key in keys) == instance_norm
    assert any(key.startswith("gcn.") for key in keys) == landmark_fusion
    assert (network.gcn is not None) == landmark_fusion
    lr = torch.rand(4, 3, 8, 8)
    assert network(lr, landmarks if landmark_fusion else None).shape == (4, 3, 32, 32)


def test_missing_superfluous_or_misshapen_landmarks_are_refused(
    build_network: BuildNetwork, landmarks: Tensor
) -> None:
    lr = torch.rand(4, 3, 8, 8)
    with pytest.raises(ValueError, match="landmarks are missing; this network was built with"):
        build_network()(lr)
    with pytest.raises(ValueError, match="a network without landmark_fusion; leave them out"):
        build_network(landmark_fusion=False)(lr, landmarks)
    with pytest.raises(ValueError, match=r"are \(3, 478, 3\); they must be \(4, 478, 3\)"):
        build_network()(lr, landmarks[:3])
    with pytest.raises(ValueError, match=r"are \(4, 468, 3\); they must be \(4, 478, 3\)"):
        build_network()(lr, landmarks[:, :468])


# --- batches, gradients, precision ----------------------------------------------------------------


@pytest.mark.parametrize("graph_map", ["pooled", "splat"])
def test_a_batch_of_16_equals_16_singles(graph_map: str) -> None:
    config = AffectSRNetConfig(scale=8, num_blocks=2, graph_map=graph_map)
    network = wake_merges(AffectSRNet(config).eval())
    lr, landmarks = torch.rand(16, 3, 16, 16), torch.rand(16, 478, 3)
    with torch.inference_mode():
        together = network(lr, landmarks)
        singles = [network(lr[n : n + 1], landmarks[n : n + 1]) for n in range(16)]
    # Kernels of another batch size sum in another order; 2e-5 is a 200th of an 8-bit level.
    torch.testing.assert_close(together, torch.cat(singles), atol=2e-5, rtol=0)


@pytest.mark.parametrize("graph_map", ["pooled", "splat"])
@pytest.mark.parametrize("instance_norm", [True, False])
def test_gradient_reaches_every_parameter(
    build_network: BuildNetwork, landmarks: Tensor, graph_map: str, instance_norm: bool
) -> None:
    # In eval mode, for in training the batch norm rightly cancels the bias before it.
    network = wake_merges(build_network(8, graph_map=graph_map, instance_norm=instance_norm))
    network(torch.rand(4, 3, 16, 16), landmarks).square().mean().backward()
    without = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not bool(parameter.grad.abs().sum() > 0)
    ]
    assert without == []


def test_at_the_first_step_only_the_last_conv_of_each_merge_learns(
    build_network: BuildNetwork, landmarks: Tensor
) -> None:
    network = build_network().train()
    network(torch.rand(4, 3, 8, 8), landmarks).square().mean().backward()
    learning = {
        name
        for name, parameter in network.named_parameters()
        if name.startswith(("gcn.", "merges."))
        and parameter.grad is not None
        and bool(parameter.grad.abs().sum() > 0)
    }
    assert learning == {
        f"merges.{place}.fuse.{kind}" for place in range(3) for kind in ("weight", "bias")
    }


def test_bf16_autocast_trains_and_stays_close(
    build_network: BuildNetwork, landmarks: Tensor
) -> None:
    network = wake_merges(build_network(8))
    lr = torch.rand(4, 3, 16, 16)
    exact = network(lr, landmarks)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(lr, landmarks)
    rounded.square().mean().backward()
    assert rounded.dtype == torch.float32
    assert bool((rounded - exact).abs().max() < 0.05)
    assert all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.grad is not None)


def test_weights_in_bf16_run(build_network: BuildNetwork, landmarks: Tensor) -> None:
    network = wake_merges(build_network(8)).bfloat16()
    sr = network(torch.rand(4, 3, 16, 16), landmarks)
    assert sr.dtype == torch.float32
    assert bool(sr.isfinite().all())


# --- the starting weights -------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "least_gain_db"), [(8, 2.5), (4, 3.2)])
def test_starting_weights_load_and_do_what_they_were_measured_to(
    data_root: Path, scale: int, least_gain_db: float
) -> None:
    # +2.91 dB (x8) and +3.47 dB (x4) on all 250 faces; these 8 stand for them.
    network = AffectSRNet(AffectSRNetConfig(scale=scale)).eval()
    start = load_file(data_root / "weights" / "start" / f"rrdb_instance_norm_x{scale}.safetensors")
    lacking = network.load_state_dict(start, strict=False)
    assert lacking.unexpected_keys == []
    assert all(key.startswith(("gcn.", "merges.")) for key in lacking.missing_keys)

    gains = []
    for path in islice(sorted((data_root / "faces" / "test" / "ffhq").iterdir()), 8):
        hr = Image.open(path).convert("RGB")
        lr = hr.resize((128 // scale, 128 // scale), Image.Resampling.BICUBIC)
        bicubic = image_to_tensor(np.asarray(lr.resize((128, 128), Image.Resampling.BICUBIC)))
        with torch.inference_mode():
            sr = network(image_to_tensor(np.asarray(lr))[None], torch.rand(1, 478, 3))
        target = image_to_tensor(np.asarray(hr))
        gains.append(psnr_y(round_to_uint8_levels(sr)[0], target) - psnr_y(bicubic, target))
    assert np.mean(gains) > least_gain_db


def psnr_y(image: Tensor, target: Tensor) -> float:
    """PSNR of the MATLAB-style Y, 8 px of border cropped."""
    luma = torch.tensor([65.481, 128.553, 24.966]).view(3, 1, 1)
    difference = ((image - target) * luma).sum(dim=0)[8:-8, 8:-8]
    return float(10 * torch.log10(255.0**2 / difference.square().mean()))
