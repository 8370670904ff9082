"""The one thread that touches the device."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class EngineThread:
    """Runs blocking work for the event loop, one piece after the other, always on one thread."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._is_abandoned = False

    async def run(self, work: Callable[[], T]) -> T:
        """Run it behind what was given before; a cancelled wait does not stop work that runs."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """Wait for the work that runs, drop what has not begun, end the thread."""
        self._executor.shutdown(wait=not self._is_abandoned, cancel_futures=True)

    def abandon(self) -> None:
        """Wait no more for the work that runs: it may hang in the device for ever.

        The interpreter still waits for the thread when it ends by itself; see `service.server`.
        """
        self._is_abandoned = True
