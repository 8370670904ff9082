"""Calibrating a classifier of expressions after training, before it is published."""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from model_store.emotion.classifier import EmotionClassifier
from training.data.expressions.dataset import ExpressionBatch

# A temperature beyond these is no calibration of anything that was trained.
_BOUNDS = (0.05, 20.0)
_ITERATIONS = 60  # each leaves 0.62 of the interval: 1e-12 of it after all


@torch.no_grad()
def fit_temperature(network: EmotionClassifier, batches: Iterable[ExpressionBatch]) -> None:
    """Set the temperature at which the probabilities are the likeliest (Guo et al. 2017).

    One number for all classes leaves every decision as it is.

    Args:
        network: In eval mode, on the device of the faces, in float32.
        batches: Faces that were not learnt from, as they are.
    """
    logs, labels = collect_log_probabilities(network, batches)
    network.temperature.fill_(find_temperature(logs, labels))


def collect_log_probabilities(
    network: EmotionClassifier, batches: Iterable[ExpressionBatch]
) -> tuple[Tensor, Tensor]:
    """Return (M, 7) log probabilities at temperature 1, float64 on the CPU, and (M,) labels.

    They are the probabilities that the service gives, with the temperature taken back: logits, but
    for a constant in each row.
    """
    logs, labels = [], []
    for faces in batches:
        probabilities = network.probabilities(faces.images).double().cpu()
        logs.append(probabilities.log() * network.temperature.double().cpu())
        labels.append(faces.labels.cpu())
    return torch.cat(logs).log_softmax(1), torch.cat(labels)


def find_temperature(logits: Tensor, labels: Tensor) -> float:
    """Minimise the cross-entropy of (M, 7) logits over the temperature, to many digits.

    It is convex in the inverse temperature, so in the temperature's logarithm it has one valley,
    which a golden-section search finds without a step size to choose.
    """
    low, high = map(math.log, _BOUNDS)
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(_ITERATIONS):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _cross_entropy(logits, labels, left) < _cross_entropy(logits, labels, right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def _cross_entropy(logits: Tensor, labels: Tensor, log_temperature: float) -> float:
    return float(F.cross_entropy(logits / math.exp(log_temperature), labels))
