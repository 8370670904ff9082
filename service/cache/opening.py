"""The cache that the settings ask for."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TypeVar

from service.cache.observer import CacheObserver
from service.cache.response_cache import ResponseCache, ValueForm
from service.cache.shared import SharedTier
from service.redis_link import RedisLink
from service.settings import Settings

ValueT = TypeVar("ValueT")


@asynccontextmanager
async def open_cache(
    settings: Settings,
    form: ValueForm[ValueT],
    link: RedisLink | None,
    *,
    namespace: str,
    observer: CacheObserver,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[ResponseCache[ValueT] | None]:
    """A cache of values of a form until the block ends; None where the settings want none.

    Args:
        settings: whether there is one, and what it may take.
        form: of the values.
        link: to Redis; there where the settings share the cache.
        namespace: see `ResponseCache`.
        observer: told what became of each look-up.
        clock: the wall clock.
    """
    if settings.cache == "off":
        yield None
        return
    async with AsyncExitStack() as stack:
        shared = None
        if settings.cache == "shared" and link is not None:
            shared = SharedTier(
                link, max_used_bytes=settings.cache_redis_bytes, observer=observer, clock=clock
            )
            await stack.enter_async_context(aclosing(shared))
            shared.start()
        cache = ResponseCache(
            form,
            namespace=namespace,
            max_bytes=settings.cache_bytes,
            ttl_seconds=settings.cache_ttl_seconds,
            observer=observer,
            clock=clock,
            shared=shared,
        )
        await stack.enter_async_context(aclosing(cache))
        cache.start()
        yield cache
