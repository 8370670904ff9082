"""The Emotion Consistency Metric (III-A), pure and exact, on expression probabilities.

``emotion_consistency`` is the metric of a set of pairs and ``bootstrap_interval`` its uncertainty;
``pair_measures`` say what can be said of one pair; ``EcmSums`` are a set that grows without end.
"""

from model_store.emotion.ecm.bootstrap import EcmInterval, bootstrap_interval
from model_store.emotion.ecm.metric import EcmResult, emotion_consistency
from model_store.emotion.ecm.pairs import PairMeasures, pair_measures
from model_store.emotion.ecm.probabilities import (
    SUM_TOLERANCE,
    Probabilities,
    checked_pairs,
    checked_probabilities,
    entropy,
)
from model_store.emotion.ecm.sums import MAX_PAIRS, EcmSums, ExpressionSums

__all__ = [
    "MAX_PAIRS",
    "SUM_TOLERANCE",
    "EcmInterval",
    "EcmResult",
    "EcmSums",
    "ExpressionSums",
    "PairMeasures",
    "Probabilities",
    "bootstrap_interval",
    "checked_pairs",
    "checked_probabilities",
    "emotion_consistency",
    "entropy",
    "pair_measures",
]
