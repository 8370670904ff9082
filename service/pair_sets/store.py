"""What a store of running sets does, whatever it keeps them in, and the values that it works on.

A set belongs to an owner; owners do not see each other's. It holds the pairs' sums (`EcmSums`), the
classifier that read them, and the last idempotency keys: no image, no row, no name of a file.
"""

from dataclasses import dataclass
from typing import Protocol

from model_store.emotion.ecm import EcmResult, EcmSums

MAX_REMEMBERED_KEYS = 1000
"""Idempotency keys that a set remembers; a retry comes within seconds, not after 1,000 requests."""


@dataclass(frozen=True, kw_only=True)
class SetLimits:
    """What sets may take.

    Attributes:
        max_sets: of one owner.
        ttl_seconds: a set is forgotten so long after the last pair was added.
        max_remembered_keys: of one set.
    """

    max_sets: int
    ttl_seconds: int
    max_remembered_keys: int = MAX_REMEMBERED_KEYS


@dataclass(frozen=True, kw_only=True)
class SetClassifier:
    """Whose probabilities a set holds: two versions' are never mixed.

    Attributes:
        reference: "name@version".
        sha256: digest of its weights, which decides.
    """

    reference: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class IdempotencyKey:
    """A caller's name for one addition, so that repeating the request adds nothing.

    Attributes:
        value: as the caller gave it.
        fingerprint: digest of what was sent with it; the same key with other pairs is refused.
    """

    value: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Addition:
    """Pairs that are to be added to a set.

    Attributes:
        sums: theirs, at least one pair.
        key: None where the caller named none: then a repeated request adds its pairs again.
    """

    classifier: SetClassifier
    sums: EcmSums
    key: IdempotencyKey | None


@dataclass(frozen=True, kw_only=True)
class AddedPairs:
    """What an addition came to.

    Attributes:
        is_replay: its key was known, so that nothing was added now.
        result: the whole set's metric afterwards.
    """

    is_replay: bool
    result: EcmResult


@dataclass(frozen=True, kw_only=True)
class PairSet:
    """A whole set, with the seconds until it is forgotten."""

    name: str
    classifier: SetClassifier
    sums: EcmSums
    expires_in_seconds: float


@dataclass(frozen=True, kw_only=True)
class PairSetEntry:
    """A set in a listing."""

    name: str
    classifier: SetClassifier
    num_pairs: int
    expires_in_seconds: float


class PairSetStore(Protocol):
    """Keeps sets. An addition is whole or not at all, whoever else adds at the same time."""

    async def add(self, owner: str, name: str, addition: Addition) -> AddedPairs:
        """Add pairs to a set, which begins with its first.

        Raises:
            OtherClassifierError: the set's pairs were read by another version.
            IdempotencyKeyReusedError: the key came with other pairs before.
            TooManySetsError: the set would be one too many.
            SetFullError: the set holds as many pairs as its sums have room for.
            SetsUnavailableError: the store cannot be reached; whether the pairs were added is not
                known.
        """
        ...

    async def get(self, owner: str, name: str) -> PairSet:
        """Return a set.

        Raises:
            UnknownSetError: there is none of the name.
            SetsUnavailableError: the store cannot be reached.
        """
        ...

    async def entries(self, owner: str) -> list[PairSetEntry]:
        """List an owner's sets by name.

        Raises:
            SetsUnavailableError: the store cannot be reached.
        """
        ...

    async def delete(self, owner: str, name: str) -> None:
        """Forget a set, its idempotency keys with it.

        Raises:
            UnknownSetError: there is none of the name.
            SetsUnavailableError: the store cannot be reached.
        """
        ...
