"""Which connections are open, and which one makes room for another when there are too many.

Without a bound whoever opens connections and sends nothing takes the last file of the process, and
asyncio then writes a hundred megabytes of log lines, one for each connection that it cannot accept.
"""

import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

# Connections that wait to be accepted: the kernel's queue, all of which asyncio accepts in one go.
_MOST_IN_BACKLOG = 2048


class Connection(Protocol):
    """Something that may be asked to close."""

    def make_room(self) -> None:
        """Close, as no request is under way."""
        ...


class OpenConnections:
    """Counts connections and knows for how long each has been without a request."""

    def __init__(self, most: int) -> None:
        self._most = most
        # The one that has been idle for longest comes first.
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._working: set[Connection] = set()

    def opened(self, connection: Connection) -> bool:
        """Take one more in; False if there is no room, for requests are under way on all others."""
        if len(self._idle) + len(self._working) >= self._most:
            if not self._idle:
                return False
            idlest, _ = self._idle.popitem(last=False)
            idlest.make_room()
        self._idle[connection] = None
        return True

    def works(self, connection: Connection) -> None:
        """A request has come on it."""
        self._idle.pop(connection, None)
        self._working.add(connection)

    def idles(self, connection: Connection) -> None:
        """Its request is answered."""
        self._working.discard(connection)
        self._idle[connection] = None

    def closed(self, connection: Connection) -> None:
        self._working.discard(connection)
        self._idle.pop(connection, None)


@dataclass(frozen=True)
class ConnectionRoom:
    """How many connections may be open, and wait to be accepted."""

    open: int
    backlog: int


def make_room_for(wanted: int) -> ConnectionRoom:
    """Have the process open as many files as that takes, or as it may, and share them out.

    Connections get half of them at most, and those that wait to be accepted an eighth: the rest is
    for connections that are being closed, models, Redis, pipes and logs.
    """
    if sys.platform == "win32":  # no such limit
        return ConnectionRoom(open=wanted, backlog=_MOST_IN_BACKLOG)
    import resource

    needed = max(2 * wanted, 8 * _MOST_IN_BACKLOG)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        except ValueError:  # macOS says "unlimited" and takes 10,240
            needed = soft
    return ConnectionRoom(open=min(wanted, needed // 2), backlog=min(_MOST_IN_BACKLOG, needed // 8))
