import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cache.entry import (
    Entry,
    ForeignEntryError,
    cache_key,
    pack_entry,
    unpack_entry,
)

KEY = "0" * 64
ENTRY = Entry(fields=b'{"scale": 4}', data=b"a file", ends_at=1234.5)


def test_entry_comes_back_as_it_was() -> None:
    assert unpack_entry(KEY, pack_entry(KEY, ENTRY)) == ENTRY


@given(st.binary(max_size=300))
def test_bytes_of_somebody_else_are_foreign(value: bytes) -> None:
    with pytest.raises(ForeignEntryError):
        unpack_entry(KEY, value)


@given(st.integers(0, len(pack_entry(KEY, ENTRY)) - 1), st.integers(1, 255))
def test_entry_with_any_byte_changed_is_foreign(place: int, change: int) -> None:
    damaged = bytearray(pack_entry(KEY, ENTRY))
    damaged[place] ^= change
    with pytest.raises(ForeignEntryError):
        unpack_entry(KEY, bytes(damaged))


@given(st.integers(0, len(pack_entry(KEY, ENTRY)) - 1))
def test_entry_that_ends_early_is_foreign(length: int) -> None:
    with pytest.raises(ForeignEntryError):
        unpack_entry(KEY, pack_entry(KEY, ENTRY)[:length])


def test_entry_under_another_key_is_foreign() -> None:
    with pytest.raises(ForeignEntryError, match="damaged, or belongs to another key"):
        unpack_entry("1" * 64, pack_entry(KEY, ENTRY))


def test_entry_of_another_form_is_foreign() -> None:
    packed = pack_entry(KEY, ENTRY)
    newer = packed[:14] + struct.pack("B", packed[14] + 1) + packed[15:]
    with pytest.raises(ForeignEntryError, match="no entry of this form; delete it"):
        unpack_entry(KEY, newer)


def test_key_is_a_digest_that_every_part_and_their_order_change() -> None:
    image, other = b"\x00" * 32, b"\x01" * 32
    keys = [
        cache_key(["a", "b"], image),
        cache_key(["b", "a"], image),
        cache_key(["ab"], image),
        cache_key(["a", "b", ""], image),
        cache_key(['a", "b'], image),
        cache_key(["a", "b"], other),
    ]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 64 and int(key, 16) >= 0 for key in keys)
    assert cache_key(["a", "b"], image) == keys[0]
