"""8: so many at once, each with its number in its pixels; none gets another one's image."""

import asyncio

import numpy as np

from service.bench.connection import Connection, Reply
from tests.bench.scenarios.setup import (
    Check,
    Exposition,
    Setup,
    at_most,
    equals,
    requests_to,
    url_of,
)
from tests.service.support import as_array, as_file

SECONDS = 600


def run(setup: Setup) -> list[Check]:
    number = setup.size(400, full=10_000)
    with setup.service(
        base_ms=5,
        item_ms=1,
        queue_capacity=number + 1,
        max_connections=number + 10,
        max_request_timeout_ms=1000 * SECONDS,
        upload_timeout_ms=1000 * SECONDS,
    ) as stub:
        images = [_image_of(identity) for identity in range(number)]
        requests = requests_to(
            stub, images, Accept="image/png", X_Request_Timeout_Ms=str(1000 * SECONDS)
        )
        everybody_is_there = asyncio.Event()

        async def call(request: bytes) -> Reply:
            connection = await Connection.connect(stub.address)
            connected.append(connection)
            if len(connected) == number:
                everybody_is_there.set()
            await everybody_is_there.wait()
            reply = await connection.exchange(request)
            connection.close()
            return reply

        async def all_at_once() -> list[Reply]:
            async with asyncio.timeout(SECONDS):
                return await asyncio.gather(*(call(request) for request in requests))

        connected: list[Connection] = []
        replies = asyncio.run(all_at_once())
        batches = Exposition(url_of(stub)).value("affectsr_batch_size_count")
    mixed_up = sum(
        reply.status == 200 and _identity_in(reply.body) != identity
        for identity, reply in enumerate(replies)
    )
    return [
        equals("statuses", {reply.status for reply in replies}, {200}),
        equals(f"images of {number} that went to another caller", mixed_up, 0),
        at_most("batches", batches, number / 4),
    ]


def _image_of(identity: int) -> bytes:
    """One colour all over: two bytes of the number, and its digits' sum to be sure."""
    high, low = divmod(identity, 256)
    return as_file(np.full((16, 16, 3), (high, low, (high + low) % 256), dtype=np.uint8))


def _identity_in(data: bytes) -> int:
    pixels = as_array(data).reshape(-1, 3).astype(int)
    high, low, check = pixels[0]
    if (pixels != pixels[0]).any() or check != (high + low) % 256:
        return -1
    return int(256 * high + low)
