"""One way to Redis for all who use it: bounded in time, and cut where Redis is away.

connection.py opens clients; breaker.py decides whether Redis is asked at all; link.py joins them.
"""

from service.redis_link.breaker import BreakerState, CircuitBreaker, RedisAwayError
from service.redis_link.connection import open_redis
from service.redis_link.link import RedisLink, open_redis_link

__all__ = [
    "BreakerState",
    "CircuitBreaker",
    "RedisAwayError",
    "RedisLink",
    "open_redis",
    "open_redis_link",
]
