"""The one way to open a connection to Redis: every wait bounded, nothing tried twice.

redis-py by itself waits seconds and repeats commands; a caller of ours would wait with it, and what
was repeated might be done twice.
"""

import logging
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.errors import StartupError

logger = logging.getLogger(__name__)

_MAX_CONNECTIONS = 16


def open_redis(url: str, *, timeout_seconds: float, decode_responses: bool = True) -> Redis:
    """Make a client; it connects when it is used, so Redis may come and go.

    Args:
        url: redis://, rediss:// (TLS) or unix://, with user and password where they are needed.
        timeout_seconds: for a connection, for an answer, and for a free connection of the pool.
        decode_responses: answers are text; else they are bytes.

    Raises:
        StartupError: the URL cannot be read; the message does not repeat it, for it may hold a
            password.
    """
    try:
        _check_database(url)
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_MAX_CONNECTIONS,
            timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            decode_responses=decode_responses,
        )
        # Refuses options that the URL should not have; it connects to nothing yet.
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, RedisError) as error:
        raise StartupError(
            f"AFFECTSR_REDIS_URL cannot be read ({error}); it must look like redis://HOST:6379/0"
        ) from error
    return Redis.from_pool(pool)


async def report_silent_redis(redis: Redis) -> None:
    """Tell the log where Redis does not answer as it should; no reason not to start."""
    try:
        await redis.ping()
    except (RedisError, OSError, TimeoutError) as error:
        logger.warning(
            "the Redis that AFFECTSR_REDIS_URL names does not answer now: %s (%s); the service "
            "starts without it and asks again whenever it is needed",
            error,
            type(error).__name__,
        )


def _check_database(url: str) -> None:
    """Refuse a database that is no number; redis-py would take 0 without a word.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(url)
    name = parts.path.strip("/")
    if parts.scheme in ("redis", "rediss") and name and not name.isdecimal():
        raise ValueError(f"its database is {name!r} and must be a number")
