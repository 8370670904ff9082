"""Pairs as stores take them."""

import numpy as np

from model_store.emotion.ecm import EcmSums, Probabilities
from service.pair_sets import Addition, IdempotencyKey, SetClassifier

FIRST = SetClassifier(reference="emotion-tiny@1", sha256="1" * 64)
SECOND = SetClassifier(reference="emotion-tiny@2", sha256="2" * 64)


def rows(count: int, *, seed: int) -> tuple[Probabilities, Probabilities]:
    """(N, 7) probabilities of N originals, and of their results."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(7, 0.5), count), rng.dirichlet(np.full(7, 0.5), count)


def pairs(
    count: int,
    *,
    seed: int = 0,
    classifier: SetClassifier = FIRST,
    key: str | None = None,
    fingerprint: str = "f",
) -> Addition:
    return Addition(
        classifier=classifier,
        sums=EcmSums.of(*rows(count, seed=seed)),
        key=None if key is None else IdempotencyKey(value=key, fingerprint=fingerprint),
    )
