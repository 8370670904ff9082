import re

import pytest
import torch

from model_store.emotion.classifier import EMOTIONS
from model_store.emotion.mobilefacenet import MobileFaceNetClassifier, MobileFaceNetConfig
from tests.model_store.emotion.identity_reference import PUBLISHED, TINY, identity_weights


@pytest.fixture
def classifier() -> MobileFaceNetClassifier:
    torch.manual_seed(0)
    return MobileFaceNetClassifier(TINY).eval()


def test_each_crop_gets_features_and_a_logit_for_each_expression(
    classifier: MobileFaceNetClassifier,
) -> None:
    crops = torch.rand(3, 3, 112, 112)
    features = classifier.features(crops)
    assert features.shape == (3, 10)
    assert torch.equal(classifier(crops), classifier.classes(features))
    assert classifier(crops).shape == (3, len(EMOTIONS))


def test_probabilities_are_those_of_the_tempered_logits(
    classifier: MobileFaceNetClassifier,
) -> None:
    crops = torch.rand(4, 3, 112, 112)
    logits = classifier(crops)
    classifier.temperature.fill_(2.5)
    scaled = torch.exp(logits / 2.5)
    wanted = scaled / scaled.sum(1, keepdim=True)
    torch.testing.assert_close(classifier.probabilities(crops), wanted)
    assert torch.equal(classifier(crops), logits)


def test_probabilities_are_float32_under_autocast(classifier: MobileFaceNetClassifier) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        probabilities = classifier.probabilities(torch.rand(2, 3, 112, 112))
    assert probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2))


def test_only_the_middle_96_columns_count(classifier: MobileFaceNetClassifier) -> None:
    crops = torch.rand(1, 3, 112, 112)
    changed = crops.clone()
    changed[..., :8] = 0
    changed[..., 104:] = 1
    assert torch.equal(classifier(changed), classifier(crops))
    for column in (8, 103):
        changed = crops.clone()
        changed[..., column] = 0
        assert not torch.equal(classifier(changed), classifier(crops))


def test_company_in_the_batch_changes_nothing(classifier: MobileFaceNetClassifier) -> None:
    crops = torch.rand(3, 3, 112, 112)
    alone = torch.cat([classifier(crop[None]) for crop in crops])
    torch.testing.assert_close(classifier(crops), alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(1, 3, 112, 96), (1, 1, 112, 112), (3, 112, 112)])
def test_what_is_no_aligned_crop_is_refused(
    classifier: MobileFaceNetClassifier, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"crops are \(.*must be \(N, 3, 112, 112\)"):
        classifier(torch.rand(shape))


def test_a_configuration_names_three_stages() -> None:
    with pytest.raises(ValueError, match=r"blocks is \(1, 2\); it must name three stages"):
        MobileFaceNetConfig(blocks=(1, 2))


def test_the_published_sizes_have_the_published_parameters() -> None:
    with torch.device("meta"):
        network = MobileFaceNetClassifier(MobileFaceNetConfig())
    of_the_classes = 512 * 7 + 7
    published = sum(
        value.numel()
        for key, value in identity_weights(PUBLISHED).items()
        if not key.startswith("linear1.") and not re.search("running|num_batches", key)
    )
    assert sum(p.numel() for p in network.parameters()) == published + of_the_classes
