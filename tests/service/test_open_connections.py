import resource
from collections.abc import Iterator

import pytest

from service.open_connections import OpenConnections, make_room_for


class FakeConnection:
    """Remembers that it was asked to close, and closes."""

    def __init__(self, connections: OpenConnections) -> None:
        self._connections = connections
        self.made_room = False

    def make_room(self) -> None:
        self.made_room = True
        self._connections.closed(self)


def opened(connections: OpenConnections, number: int) -> list[FakeConnection]:
    found = [FakeConnection(connections) for _ in range(number)]
    assert all(connections.opened(connection) for connection in found)
    return found


def made_room(found: list[FakeConnection]) -> list[bool]:
    return [connection.made_room for connection in found]


def test_nobody_makes_room_while_there_is_some() -> None:
    assert made_room(opened(OpenConnections(3), 3)) == [False] * 3


def test_who_has_been_without_a_request_for_longest_makes_room() -> None:
    connections = OpenConnections(3)
    first, second, third = found = opened(connections, 3)
    connections.works(first)
    connections.idles(first)
    opened(connections, 1)
    assert made_room(found) == [False, True, False]
    connections.works(third)
    opened(connections, 1)
    assert first.made_room
    assert not third.made_room
    assert second.made_room


def test_no_request_is_broken_off_for_a_newcomer() -> None:
    connections = OpenConnections(2)
    found = opened(connections, 2)
    for connection in found:
        connections.works(connection)
    assert not connections.opened(FakeConnection(connections))
    assert made_room(found) == [False] * 2
    connections.closed(found[0])
    assert connections.opened(FakeConnection(connections))


def test_who_was_refused_counts_no_more() -> None:
    connections = OpenConnections(1)
    (working,) = opened(connections, 1)
    connections.works(working)
    refused = FakeConnection(connections)
    assert not connections.opened(refused)
    connections.closed(refused)
    connections.closed(working)
    opened(connections, 1)


@pytest.fixture
def file_limit() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_process_may_open_what_its_connections_take(file_limit: tuple[int, int]) -> None:
    _, hard = file_limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    room = make_room_for(100)
    assert room.open == 100
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft >= room.open + room.backlog + 1000
