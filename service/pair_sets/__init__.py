"""Running sets of pairs: in memory, or in Redis for several replicas; only sums are kept."""

from service.pair_sets.memory import MemoryPairSets
from service.pair_sets.redis_store import RedisPairSets
from service.pair_sets.store import (
    AddedPairs,
    Addition,
    IdempotencyKey,
    PairSet,
    PairSetEntry,
    PairSetStore,
    SetClassifier,
    SetLimits,
)

__all__ = [
    "AddedPairs",
    "Addition",
    "IdempotencyKey",
    "MemoryPairSets",
    "PairSet",
    "PairSetEntry",
    "PairSetStore",
    "RedisPairSets",
    "SetClassifier",
    "SetLimits",
]
