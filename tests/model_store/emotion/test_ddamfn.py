from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_store.emotion.classifier import EMOTIONS
from model_store.emotion.ddamfn import DDAMFN
from model_store.emotion.ddamfn_weights import load_official_weights
from model_store.emotion.mixed_feature_net import DDAMFNConfig
from tests.model_store.emotion.ddamfn_reference import (
    PUBLIC,
    PUBLIC_PARTS,
    TINY,
    TINY_PARTS,
    ddamfn_weights,
    logits_and_heads,
)


def store(weights: dict[str, Tensor], folder: Path) -> Path:
    path = folder / "rafdb.pth"
    torch.save({"iter": 20, "model_state_dict": weights, "optimizer_state_dict": {}}, path)
    return path


@pytest.fixture
def classifier() -> DDAMFN:
    torch.manual_seed(0)
    return DDAMFN(replace(TINY, depthwise_norm=True)).eval()


def test_each_crop_gets_features_and_a_logit_for_each_expression(classifier: DDAMFN) -> None:
    crops = torch.rand(3, 3, 112, 112)
    assert classifier.features(crops).shape == (3, 10)
    assert classifier(crops).shape == (3, len(EMOTIONS))


def test_the_heads_attention_comes_with_the_same_logits(classifier: DDAMFN) -> None:
    crops = torch.rand(2, 3, 112, 112)
    attended = classifier.forward_with_heads(crops)
    assert attended.attentions.shape == (2, 2, 10, 7, 7)
    assert bool(((attended.attentions > 0) & (attended.attentions < 1)).all())
    assert torch.equal(attended.logits, classifier(crops))
    assert not torch.allclose(attended.attentions[0], attended.attentions[1], atol=1e-3)


def test_a_loss_on_the_attention_reaches_heads_and_backbone(classifier: DDAMFN) -> None:
    first, second = classifier.forward_with_heads(torch.rand(1, 3, 112, 112)).attentions
    (first - second).square().mean().backward()
    for parameter in (
        classifier.heads[0].rows.conv.weight,
        classifier.heads[1].gates.column_gate.weight,
        classifier.backbone.stem.conv.weight,
    ):
        assert parameter.grad is not None
        assert float(parameter.grad.abs().sum()) > 0


def test_company_in_the_batch_changes_nothing(classifier: DDAMFN) -> None:
    crops = torch.rand(3, 3, 112, 112)
    alone = torch.cat([classifier(crop[None]) for crop in crops])
    torch.testing.assert_close(classifier(crops), alone, atol=1e-5, rtol=0)


def test_what_is_no_aligned_crop_is_refused(classifier: DDAMFN) -> None:
    with pytest.raises(ValueError, match=r"crops are \(1, 3, 128, 128\); they must be"):
        classifier(torch.rand(1, 3, 128, 128))


# --- the authors' weights -------------------------------------------------------------------------


def test_the_authors_weights_give_what_their_code_gives(tmp_path: Path) -> None:
    weights = ddamfn_weights(TINY, TINY_PARTS)
    network = DDAMFN(TINY).eval()
    load_official_weights(network, store(weights, tmp_path))
    crops = torch.rand(2, 3, 112, 112)
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    logits, heads = logits_and_heads(weights, (crops - mean) / std, blocks=TINY.blocks)
    found = network.forward_with_heads(crops)
    torch.testing.assert_close(found.logits, logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.attentions, torch.stack(heads), atol=1e-5, rtol=1e-4)


def test_the_public_sizes_take_the_public_layout(tmp_path: Path) -> None:
    weights = ddamfn_weights(PUBLIC, PUBLIC_PARTS)
    network = DDAMFN(PUBLIC)
    load_official_weights(network, store(weights, tmp_path))
    assert torch.equal(
        network.backbone.stages[2][6].spatial.attention.gates.row_gate.bias,
        weights["features.7.model.5.CA.conv2.bias"],
    )
    assert torch.equal(network.pool.conv.weight, weights["Linear.conv.weight"])


def test_parameters_are_those_of_the_public_code() -> None:
    def count(config: DDAMFNConfig) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in DDAMFN(config).parameters())

    weights = ddamfn_weights(PUBLIC, PUBLIC_PARTS)
    trained = {
        key: value.numel()
        for key, value in weights.items()
        if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }
    unused_norms = sum(n for k, n in trained.items() if ".conv_dw.bn" in k or ".conv_dw.prelu" in k)
    unused = sum(n for k, n in trained.items() if ".CoordAtt.Linear." in k or k.startswith("bn."))
    assert count(PUBLIC) == sum(trained.values()) - unused - unused_norms
    assert count(PUBLIC) == pytest.approx(4.11e6, rel=0.002)  # what the paper counts
    assert count(DDAMFNConfig()) == sum(trained.values()) - unused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Linear.bn.bias": None}, r"lacks 1 tensors of the authors' DDAMFN .* pool.norm.bias"),
        ({"features.9.conv.weight": torch.ones(1)}, r"does not have, .* features.9.conv.weight"),
        ({"fc.weight": torch.ones(8, 10)}, r"classes.weight is \(8, 10\), the network's is \(7"),
    ],
)
def test_other_weights_are_refused_and_nothing_is_loaded(
    tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    changed = {**ddamfn_weights(TINY, TINY_PARTS), **change}
    path = store({k: v for k, v in changed.items() if v is not None}, tmp_path)
    network = DDAMFN(TINY)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_official_weights(network, path)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_a_network_with_norms_takes_none_of_the_authors_weights(
    classifier: DDAMFN, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="build the network with depthwise_norm = False"):
        load_official_weights(classifier, tmp_path / "rafdb.pth")
