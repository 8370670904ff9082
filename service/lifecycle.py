"""The service's life: starting -> warm -> ready -> draining -> dead, and what signals do to it."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from enum import Enum
from types import FrameType

import uvicorn

logger = logging.getLogger(__name__)


class State(Enum):
    """Where the service is in its life; the values are what the probes show."""

    STARTING = "starting"
    WARM = "warm"
    READY = "ready"
    DRAINING = "draining"
    DEAD = "dead"


_ORDER = list(State)


class Lifecycle:
    """The one place that knows the state; it only ever moves forward."""

    def __init__(self, *, on_change: Callable[[State], None]) -> None:
        self._state = State.STARTING
        self._on_change = on_change

    @property
    def state(self) -> State:
        return self._state

    @property
    def is_ready(self) -> bool:
        """Whether new work should be sent here."""
        return self._state is State.READY

    @property
    def is_live(self) -> bool:
        """Whether the process is worth keeping: true while it drains."""
        return self._state is not State.DEAD

    def advance(self, state: State) -> None:
        """Move on to a later state; an earlier one is ignored, whoever comes late."""
        if _ORDER.index(state) <= _ORDER.index(self._state):
            return
        self._state = state
        self._on_change(state)
        logger.info("the service is %s", state.value)


class SignalledServer(uvicorn.Server):
    """uvicorn with our signals: readiness falls first, and a clean end exits 0.

    uvicorn raises a caught signal again once it has shut down, which ends a drained process by
    signal (status 143) where an orchestrator expects 0.
    """

    def __init__(self, config: uvicorn.Config, *, on_signal: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_signal = on_signal

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listener in server.sockets:
                host, port = listener.getsockname()[:2]
                logger.info("listening on http://%s:%d; documentation at /docs", host, port)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
            with super().capture_signals():  # no loop there handles signals; uvicorn knows a way
                yield
            return
        # The loop's handlers, not signal.signal's: those interrupt the main thread anywhere, also
        # inside a lock of logging or of the metrics that the handler then needs.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: finish what is admitted, then exit; second: exit without waiting."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
        self._on_signal()
