"""Lines of a file of API keys."""

import hashlib


def key_line(name: str, key: str, limit: int | None = None) -> str:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{name} {digest}{'' if limit is None else f' {limit}'}\n"
