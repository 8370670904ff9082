"""A block of a request that may take so long and no longer."""

import asyncio
import math
from collections.abc import Callable
from types import TracebackType


class TimeLimit:
    """Ends its block when the time is over, by an error of the caller's making.

    A class where a generator would read better, for every request enters one.
    """

    def __init__(self, seconds: float, error: Callable[[], Exception]) -> None:
        """`seconds` count from entering on; where none are left the block is not entered."""
        self._seconds = seconds
        self._error = error
        self._timeout: asyncio.Timeout | None = None

    async def __aenter__(self) -> None:
        if self._seconds <= 0:
            raise self._error()
        if not math.isinf(self._seconds):
            self._timeout = asyncio.timeout(self._seconds)
            await self._timeout.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timeout is None:
            return
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise self._error() from None
