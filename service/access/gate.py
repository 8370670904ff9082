"""The gate in front of the service: who calls, by the key in its headers, and whether it may."""

from collections.abc import Callable, Mapping

from service.access.key_file import ApiKeys, KeyFileError
from service.access.request_limits import RequestLimits
from service.errors import StartupError, UnauthorizedError
from service.redis_link import RedisLink
from service.settings import Settings

KEY_HEADER = "X-API-Key"

_HOW_TO_SEND = f"send it as `Authorization: Bearer KEY` or as `{KEY_HEADER}: KEY`"


class Gate:
    """Lets requests with a known key in, as many as it may send."""

    def __init__(self, keys: ApiKeys, limits: RequestLimits) -> None:
        self._keys = keys
        self._limits = limits

    async def admit(self, headers: Mapping[str, str]) -> str:
        """Say whose request it is, by its headers (whose names are looked up in any case).

        Raises:
            UnauthorizedError: there is no key in them, or one that is not known.
            RateLimitedError: the key has had its requests of this minute.
        """
        found = await self._keys.find(_given_key(headers).encode("latin-1"))
        if found is None:
            raise UnauthorizedError(
                "the API key is not known here; it may have been withdrawn", was_key_given=True
            )
        if found.requests_per_minute is not None:
            await self._limits.count(found.name, per_minute=found.requests_per_minute)
        return found.name


def open_gate(
    settings: Settings, link: RedisLink | None, *, clock: Callable[[], float]
) -> Gate | None:
    """The gate that the settings ask for; None where no keys are in use.

    Raises:
        StartupError: the file of keys cannot be read.
    """
    path = settings.api_keys_file
    if path is None:
        return None
    try:
        keys = ApiKeys(path, clock=clock)
    except KeyFileError as error:
        raise StartupError(f"AFFECTSR_API_KEYS_FILE={path} cannot be used: {error}") from error
    return Gate(keys, RequestLimits(clock=clock, link=link))


def _given_key(headers: Mapping[str, str]) -> str:
    """The key of a request; our own header counts first, as proxies may need the other."""
    own = headers.get(KEY_HEADER, "").strip()
    if own:
        return own
    scheme, _, credentials = headers.get("Authorization", "").strip().partition(" ")
    if scheme and scheme.lower() != "bearer":
        raise UnauthorizedError(
            f"the Authorization header is of another scheme than Bearer; {_HOW_TO_SEND}",
            was_key_given=False,
        )
    if not credentials.strip():
        raise UnauthorizedError(
            f"the service needs an API key; {_HOW_TO_SEND}", was_key_given=False
        )
    return credentials.strip()
