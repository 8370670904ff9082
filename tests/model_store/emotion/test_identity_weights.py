from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from model_store.emotion.identity_weights import load_identity_backbone
from model_store.emotion.mobilefacenet import MobileFaceNetClassifier, MobileFaceNetConfig
from tests.model_store.emotion.identity_reference import (
    PUBLISHED_HALVING,
    PUBLISHED_RESIDUAL,
    TINY,
    TINY_HALVING,
    TINY_RESIDUAL,
    identity_weights,
    map_of,
    pooled_of,
    stem_of,
)


def store(weights: dict[str, Tensor], folder: Path) -> Path:
    path = folder / "identity.ckpt"
    torch.save({"epoch": 68, "net_state_dict": weights}, path)
    return path


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return identity_weights(TINY)


def test_the_features_are_the_identity_networks(weights: dict[str, Tensor], tmp_path: Path) -> None:
    classifier = MobileFaceNetClassifier(TINY).eval()
    load_identity_backbone(classifier, store(weights, tmp_path))
    crops = torch.randint(0, 256, (2, 3, 112, 112)).float()
    pixels = (crops[..., 8:104] - 127.5) / 128
    stem = stem_of(weights, pixels)
    expected = map_of(weights, stem, halving=TINY_HALVING, residual=TINY_RESIDUAL)
    assert expected.shape == (2, 10, 7, 6)
    torch.testing.assert_close(
        classifier.features(crops / 255), pooled_of(weights, expected), atol=1e-4, rtol=1e-4
    )


def test_the_published_weights_are_read(data_root: Path) -> None:
    path = data_root / "weights" / "mobilefacenet_identity_112x96.ckpt"
    classifier = MobileFaceNetClassifier(MobileFaceNetConfig()).eval()
    load_identity_backbone(classifier, path)
    weights = torch.load(path, weights_only=True, map_location="cpu")["net_state_dict"]
    crops = torch.rand(1, 3, 112, 112)
    stem = stem_of(weights, (crops[..., 8:104] * 255 - 127.5) / 128)
    expected = map_of(weights, stem, halving=PUBLISHED_HALVING, residual=PUBLISHED_RESIDUAL)
    torch.testing.assert_close(
        classifier.features(crops), pooled_of(weights, expected), atol=1e-4, rtol=1e-4
    )


def test_classes_and_temperature_stay(weights: dict[str, Tensor], tmp_path: Path) -> None:
    classifier = MobileFaceNetClassifier(TINY)
    classifier.temperature.fill_(1.5)
    before = {key: value.clone() for key, value in classifier.state_dict().items()}
    load_identity_backbone(classifier, store(weights, tmp_path))
    after = classifier.state_dict()
    kept = {key for key in after if torch.equal(after[key], before[key])}
    assert kept == {"classes.weight", "classes.bias", "temperature"}


def test_safetensors_are_read(weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "identity.safetensors"
    save_file(weights, path)
    classifier = MobileFaceNetClassifier(TINY)
    load_identity_backbone(classifier, path)
    assert torch.equal(classifier.backbone.stem.conv.weight, weights["conv1.conv.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv2.bn.bias": None}, r"lacks 1 tensors of an identity .*backbone.last.norm.bias"),
        ({"blocks.9.conv.0.weight": torch.ones(1)}, r"that an identity .* backbone.stages.3.2."),
        ({"blocks.1.conv.8.weight": torch.ones(1)}, r"does not have, .* blocks.1.conv.8.weight"),
        (
            {"linear7.conv.weight": torch.ones(10, 1, 7, 7)},
            r"pool.conv.weight is \(10, 1, 7, 7\), the network's is \(10, 1, 7, 6\)",
        ),
    ],
)
def test_another_networks_weights_are_refused_and_nothing_is_loaded(
    weights: dict[str, Tensor], tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    changed = {k: v for k, v in {**weights, **change}.items() if v is not None}
    classifier = MobileFaceNetClassifier(TINY)
    before = {key: value.clone() for key, value in classifier.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_identity_backbone(classifier, store(changed, tmp_path))
    assert all(torch.equal(v, before[k]) for k, v in classifier.state_dict().items())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone.ckpt does not exist"):
        load_identity_backbone(MobileFaceNetClassifier(TINY), tmp_path / "gone.ckpt")
