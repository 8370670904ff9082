"""The application behind a real port, served from a thread of the test's own process."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from service.app import create_app
from service.engine.base import Engine
from service.settings import Settings

# Loading the published models takes seconds, and far longer on a busy machine.
START_SECONDS = 300


@contextmanager
def served(settings: Settings, engine: Engine | None) -> Iterator[str]:
    """The address, with a slash at its end; without an engine the published models are loaded."""
    started = threading.Event()
    server = _Server(
        uvicorn.Config(
            create_app(settings, engine=engine), port=0, log_config=None, ws="none", lifespan="on"
        ),
        started,
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        if not started.wait(START_SECONDS):
            raise TimeoutError(f"the service has not started within {START_SECONDS} s")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        server.force_exit = True  # a browser keeps connections open
        thread.join(START_SECONDS)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started_event: threading.Event) -> None:
        super().__init__(config)
        self._started_event = started_event

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._started_event.set()
