import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cache.entry import Entry
from service.cache.local import LocalTier
from tests.fakes import ManualClock

OVERHEAD = 500


def entry(num_bytes: int = 500, *, ends_at: float = 2000.0) -> Entry:
    return Entry(fields=b"{}", data=bytes(num_bytes - 2), ends_at=ends_at)


@pytest.fixture
def tier(clock: ManualClock) -> LocalTier:
    """Has room for four entries of 500 bytes."""
    return LocalTier(4 * (500 + OVERHEAD), clock=clock)


def test_least_recently_used_goes_where_there_is_no_room(tier: LocalTier) -> None:
    for key in "abcd":
        tier.put(key, entry())
    assert tier.get("a") is not None
    tier.put("e", entry())
    assert [key for key in "abcde" if tier.get(key)] == ["a", "c", "d", "e"]
    assert tier.num_bytes == 4 * (500 + OVERHEAD)


def test_same_key_again_takes_the_place_of_the_old_one(tier: LocalTier) -> None:
    tier.put("a", entry(500))
    tier.put("a", entry(100))
    assert (len(tier), tier.num_bytes) == (1, 100 + OVERHEAD)


def test_entry_that_would_drive_out_too_much_is_not_kept(tier: LocalTier) -> None:
    tier.put("a", entry(500))
    tier.put("b", entry(501))
    assert tier.get("a") is not None
    assert tier.get("b") is None
    tier.put("a", entry(501))
    assert tier.get("a") is None  # nor is what it was to replace


def test_entry_ends_at_its_time(tier: LocalTier, clock: ManualClock) -> None:
    tier.put("a", entry(ends_at=clock() + 10))
    clock.advance(9.9)
    assert tier.get("a") is not None
    clock.advance(0.1)
    assert tier.get("a") is None
    assert (len(tier), tier.num_bytes) == (0, 0)


def test_what_is_over_is_not_kept_at_all(tier: LocalTier, clock: ManualClock) -> None:
    tier.put("a", entry(ends_at=clock()))
    assert len(tier) == 0


def test_what_has_ended_goes_though_nobody_asks_for_it(tier: LocalTier, clock: ManualClock) -> None:
    tier.put("a", entry(ends_at=clock() + 10))
    tier.put("b", entry(ends_at=clock() + 20))
    clock.advance(15)
    tier.forget_what_has_ended()
    assert len(tier) == 1
    assert tier.get("b") is not None


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(2, 900)), max_size=60))
def test_its_memory_is_counted_and_never_exceeded(puts: list[tuple[str, int]]) -> None:
    tier = LocalTier(4000, clock=ManualClock())
    for key, num_bytes in puts:
        tier.put(key, entry(num_bytes))
        held = [found for name in "abcdefgh" if (found := tier.get(name)) is not None]
        assert tier.num_bytes == sum(one.num_bytes + OVERHEAD for one in held) <= 4000
        assert len(tier) == len(held)
