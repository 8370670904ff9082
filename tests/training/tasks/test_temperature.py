import numpy as np
import pytest
import torch
from torch import Tensor

from model_store.emotion.classifier import EMOTIONS, EmotionClassifier
from tests.tiny_classifiers import tiny_classifier
from training.data.expressions.dataset import ExpressionBatch
from training.tasks.temperature import (
    collect_log_probabilities,
    find_temperature,
    fit_temperature,
)


def overconfident(count: int = 4000, *, by: float) -> tuple[Tensor, Tensor]:
    """Logits whose softmax at the temperature ``by`` gives the labels' true probabilities."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (count, len(EMOTIONS)))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = [rng.choice(len(EMOTIONS), p=row) for row in chances]
    return torch.from_numpy(logits * by), torch.tensor(labels)


@pytest.mark.parametrize("by", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(by: float) -> None:
    logits, labels = overconfident(by=by)
    assert find_temperature(logits, labels) == pytest.approx(by, rel=0.06)


def test_no_other_temperature_is_likelier() -> None:
    logits, labels = overconfident(300, by=2.0)
    found = find_temperature(logits, labels)

    def loss(temperature: float) -> float:
        logs = (logits / temperature).log_softmax(1)
        return float(-logs[torch.arange(len(labels)), labels].mean())

    assert all(loss(found) <= loss(found * factor) for factor in (0.5, 0.99, 1.01, 2.0))


@torch.no_grad()
def batches(network: EmotionClassifier) -> list[ExpressionBatch]:
    """Faces of which the network tells all but the first right."""
    generator = torch.Generator().manual_seed(0)
    sets = [torch.rand(size, 3, 112, 112, generator=generator) for size in (5, 3)]
    return [
        ExpressionBatch(crops, network(crops).argmax(1).index_fill(0, torch.tensor([0]), 1))
        for crops in sets
    ]


@pytest.fixture
def network() -> EmotionClassifier:
    torch.manual_seed(1)
    return tiny_classifier("mobilefacenet").requires_grad_(False)


def test_what_is_fitted_is_what_the_service_gives_and_no_decision_changes(
    network: EmotionClassifier,
) -> None:
    faces = batches(network)
    before = [network.probabilities(batch.images).argmax(1) for batch in faces]
    fit_temperature(network, faces)
    fitted = float(network.temperature)
    assert fitted != 1.0
    logits = torch.cat([network(batch.images) for batch in faces]).double()
    labels = torch.cat([batch.labels for batch in faces])
    assert fitted == pytest.approx(find_temperature(logits, labels), rel=1e-3)
    after = [network.probabilities(batch.images).argmax(1) for batch in faces]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    fit_temperature(network, faces)  # once more changes nothing
    assert float(network.temperature) == pytest.approx(fitted, rel=1e-3)


def test_the_temperature_is_taken_back_before_it_is_fitted(network: EmotionClassifier) -> None:
    faces = batches(network)
    plain, labels = collect_log_probabilities(network, faces)
    network.temperature.fill_(2.5)
    again, _ = collect_log_probabilities(network, faces)
    assert torch.allclose(plain, again, atol=1e-5)
    assert torch.equal(labels, torch.cat([batch.labels for batch in faces]))
