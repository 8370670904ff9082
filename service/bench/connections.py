"""As many connections as are needed at once, kept for the next request."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.bench.connection import Address, Connection


class Connections:
    """Opens a connection where none is free, up to a number; then callers wait their turn."""

    def __init__(self, address: Address, *, most: int) -> None:
        self._address = address
        self._places = asyncio.Semaphore(most)
        self._free: deque[Connection] = deque()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Connection]:
        """A connection for one exchange; one whose exchange was broken off is closed.

        Raises:
            OSError: nobody listens at the address.
        """
        async with self._places:
            connection = self._take_free() or await Connection.connect(self._address)
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            if connection.is_usable:
                self._free.append(connection)

    def close(self) -> None:
        for connection in self._free:
            connection.close()

    def _take_free(self) -> Connection | None:
        while self._free:
            connection = self._free.pop()
            if connection.is_usable:
                return connection
        return None
