"""Sets in the memory of one process: gone with it, and not seen by another replica."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from model_store.emotion.ecm import MAX_PAIRS, EcmSums
from service.pair_sets import refusals
from service.pair_sets.store import (
    AddedPairs,
    Addition,
    PairSet,
    PairSetEntry,
    SetClassifier,
    SetLimits,
)


@dataclass(eq=False, kw_only=True)
class _Held:
    classifier: SetClassifier
    sums: EcmSums
    expires_at: float
    fingerprints: OrderedDict[str, str] = field(default_factory=OrderedDict)  # by key, oldest first


class MemoryPairSets:
    """A `PairSetStore` on one event loop; nothing in it waits, so every method is atomic."""

    def __init__(self, limits: SetLimits, *, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._owners: dict[str, dict[str, _Held]] = {}

    async def add(self, owner: str, name: str, addition: Addition) -> AddedPairs:
        sets = self._living(owner)
        held = sets.get(name)
        if held is None:
            if len(sets) >= self._limits.max_sets:
                raise refusals.too_many_sets(len(sets))
            held = _Held(
                classifier=addition.classifier,
                sums=EcmSums.empty(addition.sums.num_classes),
                expires_at=0.0,
            )
        elif held.classifier.sha256 != addition.classifier.sha256:
            raise refusals.other_classifier(
                name, theirs=held.classifier.reference, ours=addition.classifier.reference
            )
        if self._is_replay(name, held, addition):
            return AddedPairs(is_replay=True, result=held.sums.result())
        if held.sums.n + addition.sums.n > MAX_PAIRS:
            raise refusals.set_full(name, held.sums.n)
        held.sums = held.sums.merge(addition.sums)
        held.expires_at = self._clock() + self._limits.ttl_seconds
        self._remember(held, addition)
        self._owners.setdefault(owner, sets)[name] = held
        return AddedPairs(is_replay=False, result=held.sums.result())

    async def get(self, owner: str, name: str) -> PairSet:
        held = self._living(owner).get(name)
        if held is None:
            raise refusals.unknown_set(name)
        return PairSet(
            name=name,
            classifier=held.classifier,
            sums=held.sums,
            expires_in_seconds=held.expires_at - self._clock(),
        )

    async def entries(self, owner: str) -> list[PairSetEntry]:
        now = self._clock()
        return [
            PairSetEntry(
                name=name,
                classifier=held.classifier,
                num_pairs=held.sums.n,
                expires_in_seconds=held.expires_at - now,
            )
            for name, held in sorted(self._living(owner).items())
        ]

    async def delete(self, owner: str, name: str) -> None:
        if self._living(owner).pop(name, None) is None:
            raise refusals.unknown_set(name)

    def _living(self, owner: str) -> dict[str, _Held]:
        """The owner's sets, without those whose time has run out."""
        sets = self._owners.get(owner, {})
        now = self._clock()
        for name in [name for name, held in sets.items() if held.expires_at <= now]:
            del sets[name]
        return sets

    @staticmethod
    def _is_replay(name: str, held: _Held, addition: Addition) -> bool:
        key = addition.key
        if key is None or key.value not in held.fingerprints:
            return False
        if held.fingerprints[key.value] != key.fingerprint:
            raise refusals.key_reused(name, key.value)
        return True

    def _remember(self, held: _Held, addition: Addition) -> None:
        if addition.key is not None:
            held.fingerprints[addition.key.value] = addition.key.fingerprint
        if len(held.fingerprints) > self._limits.max_remembered_keys:
            held.fingerprints.popitem(last=False)
