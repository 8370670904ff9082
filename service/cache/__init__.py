"""Replies that were made before: in this process's memory, in Redis, or under way right now.

entry.py is the form of what is kept; local.py and shared.py keep it; single_flight.py has one maker
for all who want the same at once; response_cache.py asks them in that order.
"""

from service.cache.opening import open_cache
from service.cache.response_cache import CacheSource, Found, ResponseCache, ValueForm

__all__ = ["CacheSource", "Found", "ResponseCache", "ValueForm", "open_cache"]
