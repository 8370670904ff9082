import asyncio

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from service.head_limits import bounded_protocol
from service.open_connections import OpenConnections

pytestmark = pytest.mark.anyio


async def nobody_asks(scope: Scope, receive: Receive, send: Send) -> None:
    """The application."""


class OtherLoopsTransport:
    """As uvloop's: it does what asyncio's does and is of another class."""

    def __init__(self) -> None:
        self.is_closed = False

    def get_extra_info(self, name: str) -> None:
        """There is no socket."""

    def close(self) -> None:
        self.is_closed = True


async def test_transports_of_other_loops_are_taken() -> None:
    config = uvicorn.Config(nobody_asks, log_config=None, ws="none", lifespan="off")
    config.load()
    refused: list[int] = []
    bounded = bounded_protocol(OpenConnections(1), head_seconds=0.01, on_refusal=refused.append)
    protocol = bounded(config, ServerState(), {})
    transport = OtherLoopsTransport()
    protocol.connection_made(transport)
    async with asyncio.timeout(10):
        while not transport.is_closed:
            await asyncio.sleep(0)
    assert refused == []  # nothing had come, so there was nothing to answer
    protocol.connection_lost(None)
