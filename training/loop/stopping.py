"""When a run ends before its schedule does: the clock, or a signal."""

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal

StopReason = Literal["max_steps", "patience", "max_minutes", "interrupted"]
STOP_REASONS: tuple[StopReason, ...] = ("max_steps", "patience", "max_minutes", "interrupted")


class StopRequest:
    """Whether the run was asked to end after the step in hand."""

    def __init__(self, *, max_minutes: float | None) -> None:
        minutes = math.inf if max_minutes is None else max_minutes
        self._deadline = time.monotonic() + 60 * minutes
        self._is_interrupted = False

    def interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self._is_interrupted = True

    @property
    def reason(self) -> StopReason | None:
        """Why to end, or None."""
        if self._is_interrupted:
            return "interrupted"
        return "max_minutes" if time.monotonic() >= self._deadline else None


@contextmanager
def stop_requests(*, max_minutes: float | None) -> Iterator[StopRequest]:
    """Listen to the clock, and to SIGINT and SIGTERM instead of their usual handlers."""
    request = StopRequest(max_minutes=max_minutes)
    previous = {s: signal.signal(s, request.interrupt) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
