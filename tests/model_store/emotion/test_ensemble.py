from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from model_store.architectures import (
    SingleClassifier,
    average_classifiers,
    build_network,
    classifier_from,
    network_config,
)
from model_store.emotion.ensemble import EmotionEnsemble, EmotionEnsembleConfig
from model_store.store import ModelStore
from tests.published import publish_untrained
from tests.tiny_classifiers import TINY_CLASSIFIERS

TEMPERATURES = (0.7, 2.5)


def members() -> Sequence[SingleClassifier]:
    """One of each architecture, calibrated differently and each with statistics of its own."""
    built = []
    for seed, (config, temperature) in enumerate(zip(TINY_CLASSIFIERS, TEMPERATURES, strict=True)):
        torch.manual_seed(seed)
        network = classifier_from(config)
        network.train()(torch.rand(4, 3, 112, 112))
        network.eval().temperature.fill_(temperature)
        assert isinstance(network, SingleClassifier)
        built.append(network)
    return built


def test_logits_are_the_mean_of_the_members_calibrated_ones() -> None:
    crops = torch.rand(3, 3, 112, 112)
    with torch.no_grad():
        each = [one(crops) / one.temperature for one in members()]
        found = average_classifiers(members())(crops)
    torch.testing.assert_close(found, (each[0] + each[1]) / 2)


def test_features_are_the_members_side_by_side() -> None:
    crops = torch.rand(2, 3, 112, 112)
    with torch.no_grad():
        each = [one.features(crops) for one in members()]
        found = average_classifiers(members()).features(crops)
    torch.testing.assert_close(found, torch.cat(each, dim=1))


def test_a_mirrored_face_is_read_alike() -> None:
    crops = torch.rand(3, 3, 112, 112)
    both = average_classifiers(members(), mirrored=True)
    with torch.no_grad():
        each = [one(x) / one.temperature for one in members() for x in (crops, crops.flip(-1))]
        torch.testing.assert_close(both(crops), torch.stack(each).mean(0))
        torch.testing.assert_close(both(crops.flip(-1)), both(crops))


def test_one_classifier_may_read_both_sides() -> None:
    crops = torch.rand(2, 3, 112, 112)
    first, _ = members()
    with torch.no_grad():
        expected = (first(crops) + first(crops.flip(-1))) / 2 / first.temperature
        found = average_classifiers([first], mirrored=True)(crops)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_published_ensemble_answers_as_before(tmp_path: Path, *, mirrored: bool) -> None:
    crops = torch.rand(2, 3, 112, 112)
    ensemble = average_classifiers(members(), mirrored=mirrored)
    ensemble.temperature.fill_(1.25)
    store = ModelStore(tmp_path)
    manifest = publish_untrained(store, ensemble, name="emotion-both")
    loaded = store.load("emotion-both").module
    assert manifest.architecture == "emotion_ensemble"
    assert isinstance(loaded, EmotionEnsemble)
    torch.testing.assert_close(
        loaded.probabilities(crops), ensemble.probabilities(crops), atol=0.01, rtol=0
    )


def test_nothing_of_the_members_last_layers_is_kept_twice() -> None:
    names = set(average_classifiers(members()).state_dict())
    assert {name for name in names if "classes" in name} == {"classes.weight", "classes.bias"}
    assert {name for name in names if "temperature" in name} == {"temperature"}


def test_an_ensemble_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="members are 1; an ensemble has at least two"):
        EmotionEnsembleConfig(members=(("mobilefacenet", {}),))


def test_an_ensemble_takes_no_ensembles_and_nothing_else() -> None:
    architecture, config = network_config(average_classifiers(members()))
    nested = {"members": [[architecture, config], ["mobilefacenet", {}]]}
    for wrong in (nested, {"members": [["landmarker", {}], ["mobilefacenet", {}]]}):
        with pytest.raises(ValueError, match="cannot be in an ensemble"):
            build_network("emotion_ensemble", wrong)
