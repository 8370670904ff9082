import asyncio

import pytest
import uvicorn
from starlette.responses import Response
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


class RecordingTransport(OtherLoopsTransport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(b"" if scope["path"] == "/empty" else b"body")(scope, receive, send)


@pytest.mark.parametrize(
    ("request_line", "end"),
    [("GET /", b"\r\n\r\nbody"), ("GET /empty", b"\r\n\r\n"), ("HEAD /", b"\r\n\r\n")],
)
async def test_head_and_body_of_an_answer_are_one_write(request_line: str, end: bytes) -> None:
    config = uvicorn.Config(answers, log_config=None, ws="none", lifespan="off")
    config.load()
    bounded = bounded_protocol(OpenConnections(1), head_seconds=10, on_refusal=lambda code: None)
    state = ServerState()
    protocol = bounded(config, state, {})
    transport = RecordingTransport()
    protocol.connection_made(transport)
    protocol.data_received(f"{request_line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await asyncio.gather(*state.tasks)
    assert len(transport.writes) == 1
    assert transport.writes[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert transport.writes[0].endswith(end)
    protocol.connection_lost(None)
