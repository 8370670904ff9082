"""A real Redis on a loopback port, for tests; nothing of it is written to disk."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager

import pytest

from service.redis_link import BreakerState, RedisLink

_START_SECONDS = 10


class RedisServer:
    """A redis-server process that a test may stop and start again at the same address."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty."""
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("needs redis-server: apt-get install redis-server")
        self._process = subprocess.Popen(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        self._wait_until_it_answers()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _wait_until_it_answers(self) -> None:
        ends_at = time.monotonic() + _START_SECONDS
        while time.monotonic() < ends_at:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"redis-server does not answer after {_START_SECONDS} s")


class RedisProxy:
    """In front of a Redis: answers come late, or questions arrive changed; an async context.

    Attributes:
        seconds: that each answer is late; to be set at any time.
    """

    def __init__(
        self,
        server: RedisServer,
        *,
        seconds: float = 0.0,
        rewrite: Callable[[bytes], bytes] = lambda asked: asked,
    ) -> None:
        """`rewrite` is given what arrives of questions, and gives what is handed on."""
        self.seconds = seconds
        self._rewrite = rewrite
        self._server = server
        self._port = 0
        self._listener: asyncio.Server | None = None
        self._pumping: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    async def __aenter__(self) -> "RedisProxy":
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *raised: object) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in self._pumping:
            task.cancel()
        await asyncio.gather(*self._pumping, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._server.port)
        ways = (self._hand_on(reader, there[1]), self._answer(there[0], writer))
        for way in ways:
            task = asyncio.create_task(way)
            self._pumping.add(task)
            task.add_done_callback(self._pumping.discard)

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with _until_closed(writer):
            while asked := await reader.read(65536):
                writer.write(self._rewrite(asked))
                await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with _until_closed(writer):
            while answer := await reader.read(65536):
                await asyncio.sleep(self.seconds)
                writer.write(answer)
                await writer.drain()


@contextmanager
def _until_closed(writer: asyncio.StreamWriter) -> Iterator[None]:
    """Hand on the end of one side to the other."""
    try:
        yield
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def linked(
    url: str,
    *,
    timeout_seconds: float = 5,
    on_change: Callable[[BreakerState], None] = lambda state: None,
) -> AsyncIterator[RedisLink]:
    """A link to a Redis; five seconds are for a machine that is busy."""
    link = RedisLink(
        url, timeout_seconds=timeout_seconds, clock=time.monotonic, on_change=on_change
    )
    async with aclosing(link):
        yield link
