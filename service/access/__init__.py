"""Who may call, and how often: API keys from a file, requests a minute of each."""

from service.access.gate import KEY_HEADER, Gate, open_gate
from service.access.key_file import ApiKey, ApiKeys, KeyFileError, parse_keys
from service.access.request_limits import RequestLimits

__all__ = [
    "KEY_HEADER",
    "ApiKey",
    "ApiKeys",
    "Gate",
    "KeyFileError",
    "RequestLimits",
    "open_gate",
    "parse_keys",
]
