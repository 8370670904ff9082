"""What both clients have in common where nobody says otherwise."""

from importlib.metadata import PackageNotFoundError, version

DEFAULT_TIMEOUT_SECONDS = 60.0
# A probe that takes longer says the same as one that fails.
PROBE_TIMEOUT_SECONDS = 5.0


def client_headers(api_key: str | None) -> dict[str, str]:
    """The headers of every call."""
    headers = {"User-Agent": f"affectsr-client/{_own_version()}"}
    return headers if api_key is None else {**headers, "Authorization": f"Bearer {api_key}"}


def _own_version() -> str:
    try:
        return version("affectsr")
    except PackageNotFoundError:
        return "0+unknown"  # run from a folder without being installed
