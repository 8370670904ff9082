"""The server process: an application, a port, what signals and a lost device do to it."""

import asyncio
import contextlib
import gc
import logging
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

import uvicorn

from service.app import create_app
from service.early_engine import EarlyEngine
from service.engine.base import Engine
from service.engine.memory_limit import killing_limit_bytes
from service.engine.memory_watch import MemoryWatch
from service.head_limits import bounded_protocol
from service.lifecycle import Lifecycle, State
from service.open_connections import OpenConnections, make_room_for
from service.routes.services import services_in
from service.settings import Settings

logger = logging.getLogger(__name__)

EXIT_NO_START = 3  # as uvicorn ends where start-up fails
EXIT_DEVICE_LOST = 4

_GRACE_AFTER_FAILURE_SECONDS = 2
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(
    settings: Settings, *, engine: Engine | None = None, early: EarlyEngine | None = None
) -> int:
    """Answer HTTP requests until told to stop; gives the exit status.

    Ends the process itself, by EXIT_NO_START where the service cannot start, and by
    EXIT_DEVICE_LOST where its device is lost: the interpreter's own end would wait for a thread
    that hangs in it.

    Args:
        settings: checked and complete.
        engine: used instead of loading one.
        early: an engine that loads already.
    """

    def report(error: Exception) -> None:
        logger.error("cannot start: %s", error)
        # uvicorn would write the traceback of what the line above says.
        logging.getLogger("uvicorn.error").disabled = True

    _spare_what_is_imported()
    app = create_app(settings, engine=engine, early=early, on_startup_failure=report)
    services = services_in(app)
    lifecycle = services.lifecycle
    room = make_room_for(settings.max_connections)
    config = uvicorn.Config(
        app,
        backlog=room.backlog,
        host=settings.http_host,
        port=settings.http_port,
        log_config=None,
        access_log=False,  # it would write query strings; RequestMiddleware writes the lines
        lifespan="on",
        ws="none",
        http=bounded_protocol(
            OpenConnections(room.open),
            head_seconds=settings.upload_timeout_ms / 1000,
            on_refusal=services.metrics.head_refused,
        ),
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_grace_seconds,
    )
    with MemoryWatch(
        killing_limit_bytes(),
        goes_on=lambda: lifecycle.state is State.STARTING,
        on_short=_end_for_lack_of_memory,
    ):
        SignalledServer(config, lifecycle, drain_delay_seconds=settings.drain_delay_seconds).run()
    if lifecycle.failure is not None:
        _end_process("the process ends, for its device is lost", EXIT_DEVICE_LOST)
    return 0


class SignalledServer(uvicorn.Server):
    """uvicorn with our signals: readiness falls first, and a clean end exits 0.

    By itself uvicorn closes its listener as soon as it is told to stop, while load balancers still
    send requests here; and it raises the signal again in the end, which ends a drained process with
    status 143 where an orchestrator expects 0.
    """

    def __init__(
        self, config: uvicorn.Config, lifecycle: Lifecycle, *, drain_delay_seconds: float = 0.0
    ) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_delay_seconds = drain_delay_seconds
        self._accepts_until = math.inf

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await super().serve(sockets)
        if self.force_exit:
            # Closing what is left would wait for the batch that runs.
            _end_process("the process ends without waiting for what it was working on")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn has logged why
            if not self.lifespan.should_exit:
                logger.error(
                    "cannot start: AFFECTSR_HTTP_HOST=%s with AFFECTSR_HTTP_PORT=%s is no address "
                    "to listen on, for the reason above; stop what listens there, or set others",
                    self.config.host,
                    self.config.port,
                )
            raise
        _spare_what_stays()
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
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
                # The process is ending; one more signal must not give it another status.
                signal.signal(number, signal.SIG_IGN)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain; second: end without waiting; while the models load: end at once.

        SIGINT comes from a terminal, to which no load balancer sends requests: it drains without
        the delay.
        """
        if not self.started:
            _end_process("told to stop while the models load")
        if self._lifecycle.state is State.DRAINING:
            self.should_exit = self.force_exit = True
            return
        self._lifecycle.advance(State.DRAINING)
        delay = self._drain_delay_seconds if sig == signal.SIGTERM else 0.0
        self._accepts_until = time.monotonic() + delay

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to accept no more, after a signal or a failure."""
        return (
            await super().on_tick(counter)
            or self._lifecycle.failure is not None
            or time.monotonic() >= self._accepts_until
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._lifecycle.failure is not None:
            # Every caller has its answer; what is still being uploaded has no future here.
            self.config.timeout_graceful_shutdown = _GRACE_AFTER_FAILURE_SECONDS
        await super().shutdown(sockets)


def _end_for_lack_of_memory(reason: str) -> None:
    logger.error("cannot start: %s", reason)
    logging.shutdown()
    os._exit(EXIT_NO_START)


def _spare_what_is_imported() -> None:
    """Keep the garbage collector from looking at modules while a start waits for it.

    That is a fifth of a second. What imports leave behind in cycles stays; it is nothing.
    """
    gc.freeze()


def _spare_what_stays() -> None:
    """Keep the garbage collector from walking over modules and models again and again.

    They are a quarter of a million objects that stay to the end; a walk over them stops every
    request for its time, a hundred milliseconds and more.
    """
    gc.collect()
    gc.freeze()


def _end_process(reason: str, status: int = 0) -> NoReturn:
    """End without the interpreter's own end, which waits for every thread."""
    logger.info(reason)
    logging.shutdown()
    os._exit(status)
