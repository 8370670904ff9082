"""Sets in Redis, so that any replica behind a load balancer adds to the same.

A set is a hash of whole numbers that are added up (HINCRBY) by one script: exact in any order, and
whole or not at all, also when the replica that asked for it dies. Redis's clock counts its time.
All keys of an owner share a hash tag, so that a cluster keeps them on one node.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from redis.exceptions import RedisError

from model_store.emotion.classifier import EMOTIONS
from model_store.emotion.ecm import MAX_PAIRS, EcmSums
from service.errors import ServiceError, SetsUnavailableError
from service.pair_sets import refusals
from service.pair_sets.store import (
    AddedPairs,
    Addition,
    PairSet,
    PairSetEntry,
    SetClassifier,
    SetLimits,
)
from service.redis_link import RedisLink

# Raised with a change of what the hashes hold: replicas of two versions then keep apart.
_PREFIX = "affectsr:ecm:1"
_NUM_CLASSES = len(EMOTIONS)
_RESULT_FIELDS = EcmSums.result_fields(_NUM_CLASSES)

_ADD_AGAIN = (
    "whether the pairs were added is not known: repeat the request with the Idempotency-Key that "
    "it had, and they are not added twice; if it had none, look at the set first"
)
_ASK_AGAIN = "ask again"


class RedisPairSets:
    """A `PairSetStore` in Redis."""

    def __init__(self, link: RedisLink, limits: SetLimits) -> None:
        self._link = link
        self._redis = link.texts
        self._limits = limits
        self._add_script = Path(__file__).with_name("add_pairs.lua").read_text("ascii")

    async def add(self, owner: str, name: str, addition: Addition) -> AddedPairs:
        arguments = self._arguments(name, addition)
        async with self._reached(_ADD_AGAIN):
            status, payload = await self._redis.eval(
                self._add_script, 5, *_keys(owner, name), *arguments
            )
            if status in ("added", "replayed"):
                found = zip(_RESULT_FIELDS, cast("Sequence[str | None]", payload), strict=True)
                sums = _sums({field: value for field, value in found if value is not None})
                return AddedPairs(is_replay=status == "replayed", result=sums.result())
        raise _refusal(status, payload, name, addition)

    async def get(self, owner: str, name: str) -> PairSet:
        _, meta_key, sums_key, _, _ = _keys(owner, name)
        async with (
            self._reached(_ASK_AGAIN),
            self._redis.pipeline(transaction=True) as pipeline,
        ):
            pipeline.hgetall(meta_key)
            pipeline.hgetall(sums_key)
            pipeline.pttl(meta_key)
            meta, fields, remaining_ms = await pipeline.execute()
            if not meta:
                raise refusals.unknown_set(name)
            return PairSet(
                name=name,
                classifier=SetClassifier(reference=meta["reference"], sha256=meta["sha256"]),
                sums=_sums(fields),
                expires_in_seconds=remaining_ms / 1000,
            )

    async def entries(self, owner: str) -> list[PairSetEntry]:
        async with self._reached(_ASK_AGAIN):
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.time()
                pipeline.zrange(_index_key(owner), 0, -1, withscores=True)
                (seconds, microseconds), found = await pipeline.execute()
            now = seconds + microseconds / 1e6
            living = sorted((n, ends / 1000 - now) for n, ends in found if ends / 1000 > now)
            async with self._redis.pipeline(transaction=False) as pipeline:
                for name, _ in living:
                    pipeline.hmget(_keys(owner, name)[1], "reference", "sha256", "pairs")
                rows = await pipeline.execute()
            return [
                PairSetEntry(
                    name=name,
                    classifier=SetClassifier(reference=reference, sha256=sha256),
                    num_pairs=int(pairs),
                    expires_in_seconds=remaining,
                )
                for (name, remaining), (reference, sha256, pairs) in zip(living, rows, strict=True)
                if reference is not None  # deleted between the two questions
            ]

    async def delete(self, owner: str, name: str) -> None:
        index_key, *set_keys = _keys(owner, name)
        async with (
            self._reached(_ASK_AGAIN),
            self._redis.pipeline(transaction=True) as pipeline,
        ):
            pipeline.delete(*set_keys)
            pipeline.zrem(index_key, name)
            num_deleted, _ = await pipeline.execute()
            if not num_deleted:
                raise refusals.unknown_set(name)

    @asynccontextmanager
    async def _reached(self, remedy: str) -> AsyncIterator[None]:
        """Say that sets cannot be had now where Redis refuses, is late, or holds something else.

        Nobody waits for one that is known to be away.
        """
        try:
            async with self._link.attempt():
                yield
        except (RedisError, OSError, ValueError, KeyError) as error:
            raise SetsUnavailableError(
                f"the sets are kept in Redis, which cannot be used now ({type(error).__name__}); "
                f"{remedy}. Comparing pairs without `set` needs no Redis"
            ) from error

    def _arguments(self, name: str, addition: Addition) -> list[str | int]:
        """See add_pairs.lua."""
        limits, key = self._limits, addition.key
        values = addition.sums.to_fields()
        return [
            name,
            addition.classifier.sha256,
            addition.classifier.reference,
            addition.sums.n,
            MAX_PAIRS,
            limits.max_sets,
            limits.ttl_seconds * 1000,
            "" if key is None else key.value,
            "" if key is None else key.fingerprint,
            limits.max_remembered_keys,
            len(_RESULT_FIELDS),
            *_RESULT_FIELDS,
            *(part for item in values.items() for part in item),
        ]


def _sums(fields: Mapping[str, str]) -> EcmSums:
    values = {field: int(value) for field, value in fields.items()}
    return EcmSums.from_fields(values, num_classes=_NUM_CLASSES)


def _refusal(status: str, payload: object, name: str, addition: Addition) -> ServiceError:
    match status:
        case "too-many-sets":
            return refusals.too_many_sets(int(str(payload)))
        case "other-classifier":
            return refusals.other_classifier(
                name, theirs=str(payload), ours=addition.classifier.reference
            )
        case "key-reused":
            return refusals.key_reused(name, str(payload))
        case _:
            return refusals.set_full(name, int(str(payload)))


def _index_key(owner: str) -> str:
    return f"{{{_PREFIX}:{owner}}}:sets"


def _keys(owner: str, name: str) -> tuple[str, str, str, str, str]:
    """The keys of a set, in the script's order."""
    base = f"{{{_PREFIX}:{owner}}}"
    return (
        _index_key(owner),
        f"{base}:set:{name}",
        f"{base}:sums:{name}",
        f"{base}:fingerprints:{name}",
        f"{base}:idempotency-keys:{name}",
    )
