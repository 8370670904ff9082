"""What a request says of the cache, and what its reply tells."""

from collections.abc import Sequence

from service.cache import CacheSource
from service.errors import ServiceError
from service.pipeline import UpscaledFile

CACHE_HEADER = "X-AffectSR-Cache"


def refuses_cache(cache_control: Sequence[str]) -> bool:
    """Whether Cache-Control (RFC 9111) wants an answer made for it, or none kept of it.

    Both mean the same here: the request goes past the cache and leaves nothing there.
    """
    directives = {part.strip().lower() for value in cache_control for part in value.split(",")}
    return not directives.isdisjoint({"no-store", "no-cache"})


def describe_sources(
    outcomes: Sequence[UpscaledFile | ServiceError], *, may_use_cache: bool
) -> dict[str, str]:
    """The header that tells where results came from, if a cache is in use; several may differ."""
    if not may_use_cache:
        return {CACHE_HEADER: "bypass"}
    sources: set[CacheSource] = {
        outcome.source
        for outcome in outcomes
        if not isinstance(outcome, ServiceError) and outcome.source is not None
    }
    if not sources:
        return {}
    return {CACHE_HEADER: sources.pop() if len(sources) == 1 else "mixed"}
