from pathlib import Path

import pytest
import torch

from model_store.architectures import ClassifierConfig, classifier_from
from model_store.emotion.classifier import EmotionClassifier
from model_store.store import ModelStore
from tests.published import publish_untrained
from tests.tiny_classifiers import TINY_CLASSIFIERS


@pytest.mark.parametrize("config", TINY_CLASSIFIERS, ids=lambda config: config.architecture)
def test_a_published_classifier_answers_as_before(config: ClassifierConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = classifier_from(config)
    crops = torch.rand(4, 3, 112, 112)
    network.train()(crops)  # statistics of its own, and a count of batches
    network.eval().temperature.fill_(1.75)
    store = ModelStore(tmp_path)
    manifest = publish_untrained(store, network, name="emotion-tiny")

    loaded = store.load("emotion-tiny")

    assert manifest.scale is None
    assert isinstance(loaded.module, EmotionClassifier)
    assert loaded.module.state_dict().keys() == network.state_dict().keys()
    assert float(loaded.module.temperature) == 1.75
    # Weights are kept in half precision, 11 bits.
    torch.testing.assert_close(
        loaded.module.probabilities(crops), network.probabilities(crops), atol=0.01, rtol=0
    )
