"""Bounds for what comes before a request is one: connections, and its head in size and time.

uvicorn has none of them: whoever sends header lines without end fills its memory, and whoever sends
nothing at all keeps a socket for ever. Bodies have bounds of their own, see uploads.py and
routes/receiving.py.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.open_connections import OpenConnections
from service.routes.services import remember_waited

# A body beyond this is not copied to go out with its head.
_MOST_JOINED_BYTES = 64 * 1024

# As uvicorn has it for its other parser, and eight times what proxies allow. A head that comes in
# one piece may be a few times as long.
MAX_HEAD_BYTES = 64 * 1024
_RETRY_AFTER_SECONDS = 5
_CONTINUE = b"HTTP/1.1 100 "

# Linux alone tells when a connection's last bytes came: tcpi_last_data_recv of struct tcp_info
# (linux/tcp.h), in milliseconds, by a clock that ticks every 1 to 10 of them.
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
_LAST_RECEIVED = slice(52, 56)
_TICK_MS = 10


def bounded_protocol(
    connections: OpenConnections, *, head_seconds: float, on_refusal: Callable[[int], None]
) -> type[HttpToolsProtocol]:
    """HTTP by uvicorn, but heads must arrive within so many seconds and are bounded in size.

    Args:
        connections: all of them; where there are too many, one without a request is closed.
        head_seconds: for a request's head to arrive.
        on_refusal: told the status of each answer that the application does not know of.
    """

    class BoundedProtocol(HttpToolsProtocol):
        def __init__(
            self,
            config: Config,
            server_state: ServerState,
            app_state: dict[str, Any],
            _loop: asyncio.AbstractEventLoop | None = None,
        ) -> None:
            super().__init__(config, server_state, app_state, _loop)
            self._is_in_head = True
            self._has_begun = False
            self._num_heads = 0
            self._head_bytes = 0
            self._head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            # uvloop's transports are of no class of asyncio's.
            super().connection_made(cast("asyncio.Transport", transport))
            if connections.opened(self):
                self._expect_head()
            else:
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.closed(self)
            self._head_is_over()
            super().connection_lost(exc)

        def make_room(self) -> None:
            self._head_is_over()
            self.transport.close()

        def send_400_response(self, msg: str) -> None:
            self._head_is_over()
            on_refusal(HTTPStatus.BAD_REQUEST)
            super().send_400_response(msg)

        def data_received(self, data: bytes) -> None:
            if self._is_in_head and self._head_timer is None:
                self._expect_head()  # a further request on a connection that was kept
            self._has_begun = True
            num_heads = self._num_heads
            super().data_received(data)
            if self._is_in_head and self._num_heads == num_heads and self._head_timer is not None:
                self._head_bytes += len(data)
                if self._head_bytes > MAX_HEAD_BYTES:
                    self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

        def on_headers_complete(self) -> None:
            self._is_in_head = False
            self._num_heads += 1
            self._head_is_over()
            connections.works(self)
            remember_waited(cast("Scope", self.scope), _seconds_since_arrival(self.transport))
            super().on_headers_complete()
            if self.scope["method"] != "HEAD":  # no body follows, not even an empty one
                self.cycle.transport = cast("asyncio.Transport", _HeadWithBody(self.transport))

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self._is_in_head = True
            self._has_begun = False

        def on_response_complete(self) -> None:
            super().on_response_complete()
            # Where a further request has come meanwhile, that one is under way.
            if self.cycle.response_complete and not self.transport.is_closing():
                connections.idles(self)

        def _expect_head(self) -> None:
            self._head_bytes = 0
            self._head_timer = self.loop.call_later(head_seconds, self._head_is_late)

        def _head_is_over(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _head_is_late(self) -> None:
            if self._has_begun:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT)
            else:
                # Somebody connected ahead of a request that did not come: nothing to answer.
                self.transport.close()

        def _refuse(self, status: HTTPStatus) -> None:
            """Answer in plain text, as uvicorn does: no request has come to the application."""
            self._head_is_over()
            on_refusal(status)
            retry_after = f"Retry-After: {_RETRY_AFTER_SECONDS}\r\n" if status == 503 else ""
            self.transport.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n{retry_after}"
                f"Content-Type: text/plain\r\nContent-Length: {len(status.phrase)}\r\n\r\n"
                f"{status.phrase}".encode("ascii")
            )
            self.transport.close()

    return BoundedProtocol


def _seconds_since_arrival(transport: asyncio.Transport) -> float:
    """How long the last that came has lain in the socket; 0 where the system does not say.

    A loop that is behind reads late, and to its caller a request is as old as it is.
    """
    if _TCP_INFO is None:
        return 0.0
    connection = transport.get_extra_info("socket")
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _LAST_RECEIVED.stop)
    except (AttributeError, OSError):  # no TCP, or closed
        return 0.0
    milliseconds = int.from_bytes(info[_LAST_RECEIVED], sys.byteorder)
    return milliseconds / 1000 if milliseconds > _TICK_MS else 0.0


class _HeadWithBody:
    """Stands for the transport as one answer writes: its head goes out together with its body.

    uvicorn writes one after the other, each by a system call that wakes the caller, who can do
    nothing with the first.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held = b""
        self._has_head_passed = False

    def write(self, data: bytes) -> None:
        if not self._has_head_passed and not data.startswith(_CONTINUE):
            self._has_head_passed = True
            self._held = data
        elif len(data) <= _MOST_JOINED_BYTES:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        else:
            self._write_held()
            self._transport.write(data)

    def close(self) -> None:
        self._write_held()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _write_held(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)
