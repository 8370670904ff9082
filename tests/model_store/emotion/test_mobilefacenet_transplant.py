from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_store.emotion.ddamfn import DDAMFN
from model_store.emotion.identity_weights import load_identity_backbone
from model_store.emotion.mixed_feature_net import DDAMFNConfig
from model_store.emotion.mobilefacenet import (
    MobileFaceNetClassifier,
    MobileFaceNetConfig,
    normalise_pixels,
)
from model_store.emotion.mobilefacenet_transplant import transplant_expressions, transplant_identity
from tests.model_store.emotion.identity_reference import (
    PUBLISHED_HALVING,
    PUBLISHED_RESIDUAL,
    TINY,
    identity_weights,
    map_of,
    stem_of,
)

# Every kind of growth: blocks in each stage, channels of the last one, twice its expansion.
WIDER = DDAMFNConfig(
    stem_width=4, widths=(4, 6, 12), expansions=(2, 4, 8), blocks=(2, 3, 2), num_features=10
)


@pytest.fixture
def identity(tmp_path: Path) -> MobileFaceNetClassifier:
    network = MobileFaceNetClassifier(TINY).eval()
    path = tmp_path / "identity.ckpt"
    torch.save({"net_state_dict": identity_weights(TINY)}, path)
    load_identity_backbone(network, path)
    return network


def transplanted(identity: MobileFaceNetClassifier, config: DDAMFNConfig = WIDER) -> DDAMFN:
    torch.manual_seed(0)
    network = DDAMFN(config)
    # Whatever an untrained norm hides (a mean of 0, a bias of 0) would show.
    network.train()(torch.rand(4, 3, 112, 112))
    network.eval()
    transplant_identity(network, identity)
    return network


def after_stem(network: DDAMFN, stem: Tensor) -> Tensor:
    features: Tensor = network.backbone.stem_depthwise(stem)
    for stage in network.backbone.stages:
        features = stage(features)
    return network.backbone.last(features)


def test_the_stem_gives_the_same_for_the_other_normalisation(
    identity: MobileFaceNetClassifier,
) -> None:
    network = transplanted(identity)
    images = torch.rand(2, 3, 112, 96)
    found = network.backbone.stem((images - network.mean) / network.std)
    wanted = identity.backbone.stem(normalise_pixels(images))
    # Stride 2: the first row and the first column alone see the padding.
    torch.testing.assert_close(found[..., 1:, 1:], wanted[..., 1:, 1:], atol=1e-5, rtol=0)
    assert not torch.allclose(found[..., 0, :], wanted[..., 0, :], atol=1e-3)


@pytest.mark.parametrize("width_px", [96, 112])
def test_behind_the_stem_the_map_is_the_identity_networks(
    identity: MobileFaceNetClassifier, width_px: int
) -> None:
    network = transplanted(identity)
    stem = torch.randn(2, 4, 56, width_px // 2)
    wanted: Tensor = identity.backbone.stem_depthwise(stem)
    for stage in identity.backbone.stages:
        wanted = stage(wanted)
    wanted = identity.backbone.last(wanted)
    assert wanted.std() > 0.1
    torch.testing.assert_close(after_stem(network, stem), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_the_published_sizes_start_as_the_published_identity_network(data_root: Path) -> None:
    path = data_root / "weights" / "mobilefacenet_identity_112x96.ckpt"
    identity = MobileFaceNetClassifier(MobileFaceNetConfig()).eval()
    load_identity_backbone(identity, path)
    network = transplanted(identity, DDAMFNConfig())
    weights = torch.load(path, weights_only=True, map_location="cpu")["net_state_dict"]
    stem = stem_of(weights, normalise_pixels(torch.rand(1, 3, 112, 96)))
    wanted = map_of(weights, stem, halving=PUBLISHED_HALVING, residual=PUBLISHED_RESIDUAL)
    torch.testing.assert_close(after_stem(network, stem), wanted, atol=1e-4, rtol=1e-4)


def test_what_is_new_learns(identity: MobileFaceNetClassifier) -> None:
    network = transplanted(identity)
    crops = torch.rand(4, 3, 112, 112)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network.train()
    for _ in range(3):
        optimizer.zero_grad()
        network(crops).square().sum().backward()
        optimizer.step()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name


def test_with_even_heads_the_transplant_tells_what_the_classifier_tells() -> None:
    torch.manual_seed(1)
    classifier = MobileFaceNetClassifier(MobileFaceNetConfig()).eval()
    network = DDAMFN(DDAMFNConfig()).eval()
    transplant_expressions(network, classifier)
    for gates in (head.get_submodule("gates") for head in network.heads):
        for name, parameter in gates.named_parameters():
            if "gate" in name:
                torch.nn.init.zeros_(parameter)
    crops = torch.rand(2, 3, 112, 112)
    with torch.no_grad():
        found, wanted = network(crops), classifier(crops)
    # The classifier sees 96 of the 112 columns, and other colours behind the border.
    assert float((found - wanted).abs().mean()) < 0.2 * float(wanted.std())


def test_the_heads_stay_apart(identity: MobileFaceNetClassifier) -> None:
    network = transplanted(identity)
    with torch.no_grad():
        first, second = network.forward_with_heads(torch.rand(1, 3, 112, 112)).attentions
    assert float((first - second).square().mean()) > 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: replace(c, depthwise_norm=False), "depthwise_norm is False; a MobileFaceNet"),
        (lambda c: replace(c, stem_width=8), "stem_width is 8; it must be the MobileFaceNet's, 4"),
        (
            lambda c: replace(c, blocks=(2, 1, 2)),
            r"blocks is \(2, 1, 2\); none may be below",
        ),
        (lambda c: replace(c, widths=(4, 5, 12)), r"widths is .*MobileFaceNet's \(4, 6, 6\)"),
    ],
)
def test_a_network_without_room_is_refused_untouched(
    identity: MobileFaceNetClassifier,
    change: Callable[[DDAMFNConfig], DDAMFNConfig],
    message: str,
) -> None:
    network = DDAMFN(change(WIDER))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        transplant_identity(network, identity)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
