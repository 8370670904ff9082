"""The one way to open a connection to Redis: every wait bounded, nothing tried twice.

redis-py by itself waits seconds and repeats commands; a caller of ours would wait with it, and what
was repeated might be done twice.
"""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.errors import StartupError

_MAX_CONNECTIONS = 16


def open_redis(url: str, *, timeout_seconds: float) -> Redis:
    """Make a client; it connects when it is used, so Redis may come and go.

    Args:
        url: redis://, rediss:// (TLS) or unix://, with user and password where they are needed.
        timeout_seconds: for a connection, for an answer, and for a free connection of the pool.

    Raises:
        StartupError: the URL cannot be read; the message does not repeat it, for it may hold a
            password.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_MAX_CONNECTIONS,
            timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            decode_responses=True,
        )
    except ValueError as error:
        raise StartupError(
            f"AFFECTSR_REDIS_URL cannot be read ({error}); it must look like redis://HOST:6379/0"
        ) from error
    return Redis.from_pool(pool)
