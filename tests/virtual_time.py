"""An event loop whose clock jumps to the next timer instead of waiting for it.

Hours of a service's life run in milliseconds and come out the same every time. For code without
threads only: while a thread works, the clock would jump past what waits for it.
"""

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import TypeVar

T = TypeVar("T")

# What happens in a test is over long before; a loop that gets here waits for what never comes.
_LIMIT_SECONDS = 7200.0


class _JumpingSelector(selectors.SelectSelector):
    """Never blocks: time without events passes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise AssertionError("every task waits for another one, and no timer is set")
        self.now += timeout
        if self.now > _LIMIT_SECONDS:
            raise AssertionError(f"nothing came of {_LIMIT_SECONDS:.0f} virtual seconds")
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Give it as `loop_factory`; `time()` is the clock to inject."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_virtually(main: Coroutine[None, None, T]) -> T:
    """As `asyncio.run`, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


VIRTUAL_BACKEND: tuple[str, Mapping[str, object]] = (
    "asyncio",
    {"loop_factory": VirtualTimeLoop},
)
"""What an `anyio_backend` fixture returns to run its tests in virtual time."""
