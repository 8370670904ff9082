import logging
import socket
from contextlib import aclosing

import pytest

from service.errors import StartupError
from service.redis_link.connection import open_redis, report_silent_redis

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("localhost:6379", "one of the following schemes"),
        ("redis://:secret@redis:63790000/0", "Port out of range"),
        ("redis://:secret@redis/first", "its database is 'first' and must be a number"),
        ("redis://:secret@redis/0?colour=1", "unexpected keyword argument 'colour'"),
        ("rediss://:secret@redis/0?ssl_cert_reqs=perhaps", "Requirements Flag: perhaps"),
    ],
)
def test_url_that_cannot_be_read_is_refused_without_its_password(url: str, says: str) -> None:
    with pytest.raises(StartupError, match="AFFECTSR_REDIS_URL cannot be read") as info:
        open_redis(url, timeout_seconds=1)
    assert says in str(info.value)
    assert "it must look like redis://HOST:6379/0" in str(info.value)
    assert "secret" not in str(info.value)


@pytest.mark.parametrize(
    "url",
    ["redis://redis", "redis://redis:6380/2", "rediss://u:p@redis/", "unix:///run/redis.sock"],
)
async def test_usual_urls_are_taken(url: str) -> None:
    await open_redis(url, timeout_seconds=1).aclose()


async def test_redis_that_does_not_answer_is_told_and_no_reason_not_to_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"redis://:secret@127.0.0.1:{unused.getsockname()[1]}/0"
        with caplog.at_level(logging.WARNING):
            async with aclosing(open_redis(url, timeout_seconds=1)) as redis:
                await report_silent_redis(redis)
    (record,) = caplog.records
    assert "AFFECTSR_REDIS_URL names does not answer now" in record.getMessage()
    assert "secret" not in record.getMessage()
