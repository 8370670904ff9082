"""The process's own memory of replies, bounded in bytes: the least recently used go first."""

from collections import OrderedDict
from collections.abc import Callable

from service.cache.entry import Entry

# What Python holds for an entry beside its bytes: the key, the objects, their places in the table.
_OVERHEAD_BYTES = 500
# A larger entry would drive out much that is asked for, to be asked for itself once at best.
_MOST_OF_IT = 0.25


class LocalTier:
    """Entries by key; nothing in it waits."""

    def __init__(self, max_bytes: int, *, clock: Callable[[], float]) -> None:
        """`clock` is the wall clock that entries end by."""
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._num_bytes = 0

    @property
    def num_bytes(self) -> int:
        """What the entries take, with what they are kept in."""
        return self._num_bytes

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.ends_at <= self._clock():
            self.forget(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry, unless it is too large or over; others go where there is no room."""
        self.forget(key)
        size = _size(entry)
        if size > self._max_bytes * _MOST_OF_IT or entry.ends_at <= self._clock():
            return
        self._entries[key] = entry
        self._num_bytes += size
        while self._num_bytes > self._max_bytes:
            self.forget(next(iter(self._entries)))

    def forget_what_has_ended(self) -> None:
        """Drop what nobody will be given any more, so that no image stays longer than said."""
        now = self._clock()
        for key in [key for key, entry in self._entries.items() if entry.ends_at <= now]:
            self.forget(key)

    def forget(self, key: str) -> None:
        """Drop an entry if there is one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._num_bytes -= _size(entry)


def _size(entry: Entry) -> int:
    return entry.num_bytes + _OVERHEAD_BYTES
