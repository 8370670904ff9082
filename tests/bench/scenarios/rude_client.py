"""A hundred connections that send a byte now and then, and others that break off in a body.

python -m tests.bench.scenarios.rude_client HOST PORT SECONDS
"""

import asyncio
import contextlib
import sys

HEAD = (
    b"POST /v1/upscale HTTP/1.1\r\nHost: rude\r\nContent-Type: image/png\r\n"
    b"Content-Length: 1000000\r\n\r\n"
)
HALF_A_HEAD = HEAD[:-2] + b"X-Slow: "
NUM_SLOW = 100
SECONDS_BETWEEN_BYTES = 0.5
SECONDS_BETWEEN_BREAKS = 0.05


async def be_slow(host: str, port: int, *, in_head: bool) -> None:
    """One byte after the other, on another connection whenever the service ends one."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(HALF_A_HEAD if in_head else HEAD)
                while not reader.at_eof() and not writer.is_closing():
                    writer.write(b"a")
                    await writer.drain()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(SECONDS_BETWEEN_BYTES):
                            await reader.read(1000)
            finally:
                writer.close()


async def break_off(host: str, port: int) -> None:
    """Half a body and away."""
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            writer.write(HEAD + bytes(50_000))
            await writer.drain()
            writer.close()
        await asyncio.sleep(SECONDS_BETWEEN_BREAKS)


async def main() -> None:
    host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for number in range(NUM_SLOW):
                group.create_task(be_slow(host, port, in_head=number % 2 == 0))
            group.create_task(break_off(host, port))


if __name__ == "__main__":
    asyncio.run(main())
