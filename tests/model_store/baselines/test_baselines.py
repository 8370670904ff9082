"""What holds for every baseline: shapes, gradients, independence of the batch, publication."""

from pathlib import Path

import pytest
import torch

from model_store.baselines.dic import DIC
from model_store.baselines.fsrnet import FSRNet
from model_store.store import ModelStore
from tests.published import publish_untrained
from tests.tiny_baselines import BASELINES, tiny_baseline


@pytest.mark.parametrize("architecture", BASELINES)
@pytest.mark.parametrize("scale", [4, 8])
def test_faces_come_out_at_128_px_around_the_range_of_colours(
    architecture: str, scale: int
) -> None:
    network = tiny_baseline(architecture, scale=scale)
    side = network.config.lr_size_px

    sr = network(torch.rand(2, 3, side, side))

    assert sr.shape == (2, 3, 128, 128)
    assert sr.dtype == torch.float32
    assert bool(torch.isfinite(sr).all())


@pytest.mark.parametrize("architecture", BASELINES)
@pytest.mark.parametrize("scale", [4, 8])
def test_every_parameter_has_a_gradient(architecture: str, scale: int) -> None:
    network = tiny_baseline(architecture, scale=scale).train()
    side = network.config.lr_size_px

    for name, parameter in network.named_parameters():
        if name.endswith("bias"):  # so that every activation sees both signs
            torch.nn.init.zeros_(parameter)
    lr = torch.rand(2, 3, side, side)
    if isinstance(network, FSRNet | DIC):
        stages = network.forward_stages(lr)
        outputs = (*stages.images, *stages.heatmaps)
    else:
        outputs = (network(lr),)
    torch.stack([output.square().mean() for output in outputs]).sum().backward()

    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("architecture", BASELINES)
def test_a_face_does_not_depend_on_the_company(architecture: str) -> None:
    network = tiny_baseline(architecture, scale=8).double()
    lr = torch.rand(3, 3, 16, 16, dtype=torch.float64)

    with torch.no_grad():
        together = network(lr)
        alone = torch.cat([network(face[None]) for face in lr])

    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("architecture", BASELINES)
@pytest.mark.parametrize("scale", [4, 8])
def test_a_published_baseline_loads_with_equal_outputs(
    architecture: str, scale: int, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path)
    network = tiny_baseline(architecture, scale=scale)
    for value in network.state_dict().values():
        value.copy_(value.half())  # the precision in which versions are stored
    manifest = publish_untrained(store, network, name=f"{architecture}-x{scale}")
    loaded = store.load(f"{architecture}-x{scale}")
    lr = torch.rand(2, 3, network.config.lr_size_px, network.config.lr_size_px)

    assert torch.equal(loaded.module(lr), network(lr))
    assert loaded.module.config == network.config
    assert (manifest.architecture, manifest.scale) == (architecture, scale)
