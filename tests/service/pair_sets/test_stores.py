"""What holds for running sets in memory and in a real Redis alike."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest

from model_store.emotion.ecm import MAX_PAIRS, EcmSums, emotion_consistency
from service.errors import (
    IdempotencyKeyReusedError,
    OtherClassifierError,
    SetFullError,
    TooManySetsError,
    UnknownSetError,
)
from service.pair_sets import (
    Addition,
    MemoryPairSets,
    PairSetStore,
    RedisPairSets,
    SetLimits,
)
from tests.fakes import ManualClock
from tests.redis_server import RedisServer, linked
from tests.service.pair_sets.pairs import FIRST, SECOND, pairs, rows

pytestmark = pytest.mark.anyio

LIMITS = SetLimits(max_sets=3, ttl_seconds=60, max_remembered_keys=2)


@pytest.fixture
def owner() -> str:
    """Nobody else's."""
    return uuid.uuid4().hex


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[PairSetStore]:
    if request.param == "memory":
        yield MemoryPairSets(LIMITS, clock=clock)
        return
    server: RedisServer = request.getfixturevalue("shared_redis")
    async with linked(server.url) as link:
        yield RedisPairSets(link, LIMITS)


async def test_set_is_the_metric_of_all_that_was_added(store: PairSetStore, owner: str) -> None:
    for seed, count in enumerate((1, 5, 2)):
        added = await store.add(owner, "nightly", pairs(count, seed=seed))
    whole = [
        np.concatenate(side)
        for side in zip(*(rows(n, seed=s) for s, n in enumerate((1, 5, 2))), strict=True)
    ]
    expected = emotion_consistency(*whole)
    assert added.result.n == 8
    assert added.result.l_h_by_class == expected.l_h_by_class
    assert added.result.l_conf == pytest.approx(expected.l_conf, abs=1e-10)

    found = await store.get(owner, "nightly")
    sums = EcmSums.of(*whole)
    assert found.sums.result() == sums.result() == added.result
    assert found.sums.interval() == sums.interval()
    assert found.sums.by_expression() == sums.by_expression()
    assert found.classifier == FIRST
    assert 0 < found.expires_in_seconds <= 60


async def test_order_and_portions_change_nothing(store: PairSetStore, owner: str) -> None:
    portions = [pairs(count, seed=count) for count in (3, 1, 4)]
    for portion in portions:
        forward = await store.add(owner, "forward", portion)
    for portion in reversed(portions):
        backward = await store.add(owner, "backward", portion)
    assert forward.result == backward.result


async def test_additions_at_the_same_time_all_count(store: PairSetStore, owner: str) -> None:
    portions = [pairs(2, seed=seed) for seed in range(20)]
    await asyncio.gather(*(store.add(owner, "busy", portion) for portion in portions))
    expected = portions[0].sums
    for portion in portions[1:]:
        expected = expected.merge(portion.sums)
    assert (await store.get(owner, "busy")).sums.to_fields() == expected.to_fields()


# --- idempotency ---


async def test_same_key_again_adds_nothing(store: PairSetStore, owner: str) -> None:
    first = await store.add(owner, "nightly", pairs(2, key="a"))
    again = await store.add(owner, "nightly", pairs(2, key="a"))
    other = await store.add(owner, "nightly", pairs(2, key="b"))
    assert (first.is_replay, again.is_replay, other.is_replay) == (False, True, False)
    assert (first.result.n, again.result.n, other.result.n) == (2, 2, 4)
    assert again.result == first.result


async def test_same_key_at_the_same_time_adds_once(store: PairSetStore, owner: str) -> None:
    added = await asyncio.gather(
        *(store.add(owner, "nightly", pairs(2, key="a")) for _ in range(10))
    )
    assert sorted(outcome.is_replay for outcome in added) == [False] + [True] * 9
    assert (await store.get(owner, "nightly")).sums.n == 2


async def test_key_with_other_pairs_is_refused_and_nothing_added(
    store: PairSetStore, owner: str
) -> None:
    await store.add(owner, "nightly", pairs(2, key="a", fingerprint="one"))
    with pytest.raises(IdempotencyKeyReusedError, match="'a' came with other pairs before"):
        await store.add(owner, "nightly", pairs(3, key="a", fingerprint="another"))
    assert (await store.get(owner, "nightly")).sums.n == 2


async def test_a_key_belongs_to_its_set(store: PairSetStore, owner: str) -> None:
    await store.add(owner, "one", pairs(2, key="a"))
    assert not (await store.add(owner, "another", pairs(2, key="a"))).is_replay


async def test_the_oldest_keys_are_forgotten_first(store: PairSetStore, owner: str) -> None:
    for key in ("a", "b", "c"):
        await store.add(owner, "nightly", pairs(1, key=key))
    assert (await store.add(owner, "nightly", pairs(1, key="b"))).is_replay
    assert (await store.add(owner, "nightly", pairs(1, key="c"))).is_replay
    assert not (await store.add(owner, "nightly", pairs(1, key="a"))).is_replay


# --- what is refused ---


async def test_other_classifier_is_refused_by_name(store: PairSetStore, owner: str) -> None:
    await store.add(owner, "nightly", pairs(2))
    with pytest.raises(
        OtherClassifierError, match="were read by emotion-tiny@1 and these by emotion-tiny@2"
    ):
        await store.add(owner, "nightly", pairs(2, classifier=SECOND))
    assert (await store.get(owner, "nightly")).sums.n == 2
    assert (await store.get(owner, "nightly")).classifier == FIRST


async def test_same_name_with_other_weights_is_another_classifier(
    store: PairSetStore, owner: str
) -> None:
    await store.add(owner, "nightly", pairs(2))
    with pytest.raises(OtherClassifierError):
        await store.add(owner, "nightly", pairs(2, classifier=replace(FIRST, sha256="9" * 64)))


async def test_sets_are_bounded_and_deleting_one_makes_room(
    store: PairSetStore, owner: str
) -> None:
    for name in ("a", "b", "c"):
        await store.add(owner, name, pairs(1))
    with pytest.raises(TooManySetsError, match="there are 3 sets, which is all that are kept"):
        await store.add(owner, "d", pairs(1))
    assert (await store.add(owner, "a", pairs(1))).result.n == 2
    await store.delete(owner, "b")
    await store.add(owner, "d", pairs(1))
    assert [entry.name for entry in await store.entries(owner)] == ["a", "c", "d"]


async def test_set_takes_no_more_than_its_sums_hold(store: PairSetStore, owner: str) -> None:
    one = pairs(1)
    many = {field: value * (MAX_PAIRS - 1) for field, value in one.sums.to_fields().items()}
    await store.add(
        owner,
        "huge",
        Addition(classifier=FIRST, sums=EcmSums.from_fields(many, num_classes=7), key=None),
    )
    assert (await store.add(owner, "huge", one)).result.n == MAX_PAIRS
    with pytest.raises(SetFullError, match=f"holds {MAX_PAIRS} pairs, and at most {MAX_PAIRS} fit"):
        await store.add(owner, "huge", one)


async def test_unknown_set_is_refused_by_name(store: PairSetStore, owner: str) -> None:
    with pytest.raises(UnknownSetError, match="there is no set 'nightly'"):
        await store.get(owner, "nightly")
    with pytest.raises(UnknownSetError, match="there is no set 'nightly'"):
        await store.delete(owner, "nightly")


# --- forgetting, listing ---


async def test_deleted_set_is_gone_with_its_keys(store: PairSetStore, owner: str) -> None:
    await store.add(owner, "nightly", pairs(2, key="a"))
    await store.delete(owner, "nightly")
    with pytest.raises(UnknownSetError):
        await store.get(owner, "nightly")
    assert await store.entries(owner) == []
    added = await store.add(owner, "nightly", pairs(3, classifier=SECOND, key="a"))
    assert (added.is_replay, added.result.n) == (False, 3)


async def test_listing_tells_names_classifier_and_pairs(store: PairSetStore, owner: str) -> None:
    await store.add(owner, "b", pairs(2))
    await store.add(owner, "a", pairs(3, classifier=SECOND))
    entries = await store.entries(owner)
    assert [(entry.name, entry.classifier, entry.num_pairs) for entry in entries] == [
        ("a", SECOND, 3),
        ("b", FIRST, 2),
    ]
    assert all(0 < entry.expires_in_seconds <= 60 for entry in entries)


async def test_owners_do_not_see_each_others_sets(store: PairSetStore, owner: str) -> None:
    other = owner + "-other"
    await store.add(owner, "nightly", pairs(2))
    await store.add(other, "nightly", pairs(5))
    assert (await store.get(owner, "nightly")).sums.n == 2
    assert [entry.num_pairs for entry in await store.entries(other)] == [5]
    with pytest.raises(UnknownSetError):
        await store.get(owner + "-third", "nightly")
