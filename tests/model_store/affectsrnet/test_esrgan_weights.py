import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from model_store.affectsrnet import AffectSRNet
from model_store.affectsrnet.esrgan_weights import load_esrgan_backbone

BuildNetwork = Callable[..., AffectSRNet]

TO_ORIGINAL = (
    (r"^body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2"),
    (r"^conv_body", "trunk_conv"),
    (r"^conv_up", "upconv"),
    (r"^conv_hr", "HRconv"),
)


@pytest.fixture
def esrgan(build_network: BuildNetwork) -> dict[str, Tensor]:
    """The tensors of a small ESRGAN of 3 blocks, named as BasicSR does."""
    source = build_network(instance_norm=False, landmark_fusion=False, num_blocks=3)
    return {key: torch.randn_like(value) for key, value in source.state_dict().items()}


def in_original_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for key, value in weights.items():
        for pattern, name in TO_ORIGINAL:
            key = re.sub(pattern, name, key)
        renamed[key] = value
    return renamed


def store(weights: object, path: Path) -> Path:
    if path.suffix == ".safetensors":
        assert isinstance(weights, dict)
        save_file(weights, path)
    else:
        torch.save(weights, path)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("layout", ["original", "basicsr"])
def test_both_layouts_fill_the_first_blocks(
    build_network: BuildNetwork,
    esrgan: dict[str, Tensor],
    tmp_path: Path,
    layout: str,
    suffix: str,
) -> None:
    stored = in_original_names(esrgan) if layout == "original" else esrgan
    network = build_network(instance_norm=False, num_blocks=2)

    report = load_esrgan_backbone(network, store(stored, tmp_path / f"esrgan{suffix}"))

    state = network.state_dict()
    assert report.layout == layout
    for key in report.loaded:
        if not key.startswith("conv_first."):
            assert torch.equal(state[key], esrgan[key]), key
    assert {key.split(".")[1] for key in report.loaded if key.startswith("body.")} == {"0", "1"}
    assert {"conv_body.bias", "conv_up1.weight", "conv_up2.weight", "conv_hr.bias"} <= {
        *report.loaded
    }
    (of_block_2,) = (keys for reason, keys in report.skipped.items() if "first 2" in reason)
    assert len(of_block_2) == 30  # 15 convs, weight and bias
    assert report.untouched == ("conv_last.weight", "conv_last.bias")
    assert "2 not taken: conv_last paints the whole image there" in str(report)


@pytest.mark.parametrize("wrapper", ["params_ema", "params"])
def test_basicsr_wrappers_are_opened(
    build_network: BuildNetwork, esrgan: dict[str, Tensor], tmp_path: Path, wrapper: str
) -> None:
    network = build_network(instance_norm=False)
    report = load_esrgan_backbone(network, store({wrapper: esrgan}, tmp_path / "e.pth"))
    assert report.layout == "basicsr"
    assert torch.equal(network.state_dict()["conv_body.weight"], esrgan["conv_body.weight"])


def test_conv_first_gives_esrgans_numbers_for_our_input(
    build_network: BuildNetwork, esrgan: dict[str, Tensor], tmp_path: Path
) -> None:
    network = build_network(instance_norm=False)
    load_esrgan_backbone(network, store(esrgan, tmp_path / "e.pth"))
    lr = torch.rand(1, 3, 8, 8)

    ours = network.conv_first(2 * lr - 1)
    theirs = torch.nn.functional.conv2d(
        lr, esrgan["conv_first.weight"], esrgan["conv_first.bias"], padding=1
    )

    # The outermost pixel is left out: zero padding is black there and mid-grey here.
    torch.testing.assert_close(ours[..., 1:-1, 1:-1], theirs[..., 1:-1, 1:-1], atol=1e-4, rtol=0)


def test_what_instance_norm_and_x8_leave_out_is_reported(
    build_network: BuildNetwork, esrgan: dict[str, Tensor], tmp_path: Path
) -> None:
    network = build_network(8, num_blocks=3)
    fresh = {key: value.clone() for key, value in network.state_dict().items()}

    report = load_esrgan_backbone(network, store(esrgan, tmp_path / "e.pth"))

    assert len(report.skipped["biases that InstanceNorm cancels"]) == 45  # 3 blocks of 15 convs
    norms = [key for key in report.untouched if ".norm" in key]
    assert len(norms) == 90
    assert {"conv_up3.weight", "conv_up3.bias"} <= {*report.untouched}
    for key in report.untouched:
        assert torch.equal(network.state_dict()[key], fresh[key])
    assert "45 not taken: biases that InstanceNorm cancels" in str(report)


def test_half_precision_files_are_read(
    build_network: BuildNetwork, esrgan: dict[str, Tensor], tmp_path: Path
) -> None:
    halves = {key: value.half() for key, value in esrgan.items()}
    network = build_network(instance_norm=False)
    load_esrgan_backbone(network, store(halves, tmp_path / "e.safetensors"))
    assert network.state_dict()["conv_hr.weight"].dtype == torch.float32
    assert torch.equal(network.state_dict()["conv_hr.weight"], halves["conv_hr.weight"].float())


def test_an_unknown_layout_is_refused(build_network: BuildNetwork, tmp_path: Path) -> None:
    path = store({"model.0.weight": torch.zeros(1)}, tmp_path / "old.pth")
    with pytest.raises(ValueError, match=r"old.pth follows neither .*first keys are \['model.0"):
        load_esrgan_backbone(build_network(), path)


def test_another_shape_is_refused_and_nothing_is_loaded(
    build_network: BuildNetwork, esrgan: dict[str, Tensor], tmp_path: Path
) -> None:
    esrgan["conv_hr.weight"] = torch.zeros(9, 9, 3, 3)
    network = build_network()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"conv_hr.weight is \(9, 9, 3, 3\), the network's is \(8"):
        load_esrgan_backbone(network, store(esrgan, tmp_path / "e.pth"))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_too_few_blocks_are_refused(
    build_network: BuildNetwork, esrgan: dict[str, Tensor], tmp_path: Path
) -> None:
    path = store(esrgan, tmp_path / "e.pth")
    with pytest.raises(ValueError, match=r"lacks 15 tensors of a backbone of 4 blocks.*body\.3\."):
        load_esrgan_backbone(build_network(num_blocks=4), path)


@pytest.mark.parametrize("name", ["text.pth", "text.safetensors"])
def test_a_file_of_something_else_is_refused(
    build_network: BuildNetwork, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_text("not weights at all")
    with pytest.raises(ValueError, match=rf"{name} (cannot be read|is no safetensors file)"):
        load_esrgan_backbone(build_network(), path)


@pytest.mark.parametrize(
    ("stored", "message"),
    [([1, 2], "holds a list, not a table"), ({"body.0.rdb1.x": 3}, "holds more than tensors")],
)
def test_a_pth_of_other_things_is_refused(
    build_network: BuildNetwork, tmp_path: Path, stored: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_esrgan_backbone(build_network(), store(stored, tmp_path / "e.pth"))


def test_a_missing_file_is_named(build_network: BuildNetwork, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone.pth does not exist; name a .pth"):
        load_esrgan_backbone(build_network(), tmp_path / "gone.pth")
