"""What the cache keeps of a reply, under which key, and its bytes in Redis.

Anybody who can write to Redis can leave anything there, and an older or newer release other forms:
what is not whole, of this form, and of this very key is foreign.
"""

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass

# Raised with a change of the form.
_MAGIC = b"AffectSR-cache\x01"
# Form, wall-clock second at which it ends, bytes of the fields, SHA-256 of all else.
_HEAD = struct.Struct(f">{len(_MAGIC)}sdI32s")


class ForeignEntryError(ValueError):
    """The bytes are no entry of this form and key, or a damaged one."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One reply.

    Attributes:
        fields: JSON of what the reply tells of the file.
        data: the file.
        ends_at: wall-clock time from which it is not given out any more, in seconds.
    """

    fields: bytes
    data: bytes
    ends_at: float

    @property
    def num_bytes(self) -> int:
        return len(self.fields) + len(self.data)


def cache_key(parts: Sequence[str], image_sha256: bytes) -> str:
    """Name a reply by all that it depends on: 64 hexadecimal digits.

    Args:
        parts: who asks for what, and what computes it; their order counts.
        image_sha256: digest of the image's file.
    """
    # As JSON no two lists of parts are one text, whatever they hold.
    document = json.dumps([*parts, image_sha256.hex()], ensure_ascii=True)
    return hashlib.sha256(document.encode("ascii")).hexdigest()


def pack_entry(key: str, entry: Entry) -> bytes:
    """The bytes of an entry, which hold for this key only."""
    digest = _digest(key, entry.ends_at, entry.fields, entry.data)
    head = _HEAD.pack(_MAGIC, entry.ends_at, len(entry.fields), digest)
    return b"".join((head, entry.fields, entry.data))


def unpack_entry(key: str, packed: bytes) -> Entry:
    """Take an entry's bytes apart.

    Raises:
        ForeignEntryError: they are not what `pack_entry` made for this key.
    """
    if len(packed) < _HEAD.size:
        raise ForeignEntryError(f"{len(packed)} bytes are no entry; its head has {_HEAD.size}")
    magic, ends_at, num_field_bytes, digest = _HEAD.unpack_from(packed)
    if magic != _MAGIC:
        raise ForeignEntryError("the value is no entry of this form; delete it")
    body = _HEAD.size + num_field_bytes
    fields, data = packed[_HEAD.size : body], packed[body:]
    if digest != _digest(key, ends_at, fields, data):
        raise ForeignEntryError("the entry is damaged, or belongs to another key; delete it")
    return Entry(fields=fields, data=data, ends_at=ends_at)


def _digest(key: str, ends_at: float, fields: bytes, data: bytes) -> bytes:
    digest = hashlib.sha256(struct.pack(">dI", ends_at, len(fields)))
    for part in (key.encode("ascii"), fields, data):
        digest.update(part)
    return digest.digest()
