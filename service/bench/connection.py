"""One HTTP/1.1 connection for requests made beforehand; a client library would cost too much."""

import asyncio
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httptools


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a service listens, and the path below which its interface lies."""

    host: str
    port: int
    base_path: str = ""

    @classmethod
    def of(cls, url: str) -> "Address":
        """Raises ValueError where the URL is none that a connection can be made to."""
        parts = urlsplit(url if "//" in url else f"//{url}", scheme="http")
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url} is no address of a service; give one as http://HOST:PORT")
        return cls(host=parts.hostname, port=parts.port or 80, base_path=parts.path.rstrip("/"))


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class _Arriving:
    """A reply of which a part is there."""

    headers: dict[str, str] = field(default_factory=dict)
    body: list[bytes] = field(default_factory=list)


class ConnectionLostError(Exception):
    """The connection ended before the whole answer was there."""


def post_request(
    address: Address, path: str, body: bytes, *, headers: dict[str, str] | None = None
) -> bytes:
    """A whole POST request; headers beyond Host and Content-Length are the caller's."""
    lines = [
        f"POST {address.base_path}{path} HTTP/1.1",
        f"Host: {address.host}:{address.port}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Connection(asyncio.Protocol):
    """Sends one request at a time and keeps the connection; made by `connect`."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._arriving = _Arriving()
        self._waiting: asyncio.Future[Reply] | None = None
        self._transport: asyncio.Transport | None = None
        self.is_usable = False

    @classmethod
    async def connect(cls, address: Address) -> "Connection":
        """Raises OSError where nobody listens."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, address.host, address.port)
        return connection

    async def exchange(self, request: bytes) -> Reply:
        """Send a request and wait for its answer; not usable again where the server ends it.

        Raises:
            ConnectionLostError: no whole answer came.
        """
        if self._transport is None or not self.is_usable:
            raise ConnectionLostError("the connection had ended")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        self.is_usable = False
        if self._transport is not None:
            self._transport.close()

    # --- what asyncio calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_usable = True

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"the answer is no HTTP: {error}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_usable = False
        self._fail("the connection ended without a whole answer")

    def _fail(self, reason: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionLostError(reason))

    # --- what the parser calls ---

    def on_message_begin(self) -> None:
        self._arriving = _Arriving()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._arriving.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._arriving.body.append(body)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(
                Reply(
                    status=self._parser.get_status_code(),
                    headers=self._arriving.headers,
                    body=b"".join(self._arriving.body),
                )
            )
