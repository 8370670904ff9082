"""The server process: an application, a port, what signals and a lost device do to it."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import uvicorn

from service.app import create_app
from service.engine.base import Engine
from service.lifecycle import Lifecycle, State
from service.routes.services import services_in
from service.settings import Settings

logger = logging.getLogger(__name__)

EXIT_DEVICE_LOST = 4

_GRACE_AFTER_FAILURE_SECONDS = 2


def serve(settings: Settings, *, engine: Engine | None = None) -> int:
    """Answer HTTP requests until told to stop; gives the exit status.

    Ends the process itself, by status 3, where the service cannot start, and by EXIT_DEVICE_LOST
    where its device is lost: the interpreter's own end would wait for a thread that hangs in it.

    Args:
        settings: checked and complete.
        engine: used instead of loading one.
    """

    def report(error: Exception) -> None:
        logger.error("cannot start: %s", error)
        # uvicorn would write the traceback of what the line above says.
        logging.getLogger("uvicorn.error").disabled = True

    app = create_app(settings, engine=engine, on_startup_failure=report)
    lifecycle = services_in(app).lifecycle
    config = uvicorn.Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        log_config=None,
        access_log=False,  # it would write query strings; RequestMiddleware writes the lines
        lifespan="on",
        ws="none",
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_grace_seconds,
    )
    SignalledServer(config, lifecycle).run()
    if lifecycle.failure is not None:
        logging.shutdown()
        os._exit(EXIT_DEVICE_LOST)
    return 0


class SignalledServer(uvicorn.Server):
    """uvicorn with our signals: readiness falls first, and a clean end exits 0.

    uvicorn raises a caught signal again once it has shut down, which ends a drained process by
    signal (status 143) where an orchestrator expects 0.
    """

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle

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
        self._lifecycle.advance(State.DRAINING)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to end, which a failure asks for as a signal does."""
        return await super().on_tick(counter) or self._lifecycle.failure is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._lifecycle.failure is not None:
            # Every caller has its answer; what is still being uploaded has no future here.
            self.config.timeout_graceful_shutdown = _GRACE_AFTER_FAILURE_SECONDS
        await super().shutdown(sockets)
