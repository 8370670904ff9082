"""API keys from a file that holds their digests, read again when it changes.

A line has a name, the SHA-256 of a key in 64 hex digits and, if there is one, a limit of requests a
minute, with blanks between; `#` begins a comment. The keys themselves stand nowhere: whoever reads
the file cannot call with it. Plain SHA-256 is enough for keys that a machine drew at random.
"""

import asyncio
import hashlib
import hmac
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_LIMIT = re.compile(r"[1-9][0-9]{0,6}")

# Ten thousand keys fit; every request is compared with all of them.
_MAX_FILE_BYTES = 2**20
_CHECK_SECONDS = 1.0


class KeyFileError(Exception):
    """The file cannot be read as keys; the message quotes nothing of what it holds."""


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """What is known of a key.

    Attributes:
        name: whose it is; several keys of one name are one caller.
        digest: SHA-256 of the key, 32 bytes.
        requests_per_minute: None for no limit.
    """

    name: str
    digest: bytes
    requests_per_minute: int | None


def parse_keys(text: str) -> tuple[ApiKey, ...]:
    """Read the lines of a file of keys.

    Raises:
        KeyFileError: a line has another form, a digest comes twice, one name has two limits, or
            there is no key at all (a file half written must not lock everybody out).
    """
    keys: list[ApiKey] = []
    limits: dict[str, int | None] = {}
    digests: set[bytes] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        key = _parse_line(words, number)
        if key.digest in digests:
            raise KeyFileError(f"line {number} has a digest that stands above it already")
        if limits.setdefault(key.name, key.requests_per_minute) != key.requests_per_minute:
            raise KeyFileError(
                f"line {number} gives its name another limit than a line above; one name has one "
                "limit, whichever of its keys is used"
            )
        digests.add(key.digest)
        keys.append(key)
    if not keys:
        raise KeyFileError("it has no key; unset AFFECTSR_API_KEYS_FILE to serve without keys")
    return tuple(keys)


def _parse_line(words: Sequence[str], number: int) -> ApiKey:
    if len(words) not in (2, 3):
        raise KeyFileError(
            f"line {number} has {len(words)} words; it needs a name, a SHA-256, and perhaps a limit"
        )
    name, digest, *limit = words
    if not _NAME.fullmatch(name):
        raise KeyFileError(
            f"the name in line {number} is not of the form {_NAME.pattern} (at most 64 characters)"
        )
    if not _DIGEST.fullmatch(digest):
        raise KeyFileError(
            f"the second word of line {number} is not the SHA-256 of a key in 64 hex digits; make "
            "it by: printf %s KEY | sha256sum"
        )
    if limit and not _LIMIT.fullmatch(limit[0]):
        raise KeyFileError(
            f"the limit in line {number} is not a whole number of requests a minute from 1 to "
            "9999999"
        )
    return ApiKey(
        name=name,
        digest=bytes.fromhex(digest),
        requests_per_minute=int(limit[0]) if limit else None,
    )


@dataclass(frozen=True)
class _Version:
    """What tells one state of a file from another; a Secret of Kubernetes changes its inode."""

    device: int
    inode: int
    num_bytes: int
    modified_ns: int


class ApiKeys:
    """The keys that count now. The file is looked at once a second at most, when a caller comes.

    A new file that cannot be read leaves the old keys in force, with an error in the log.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float]) -> None:
        """Read the file.

        Raises:
            KeyFileError: it cannot be read as keys.
        """
        self._path = path
        self._clock = clock
        self._next_check_at = clock() + _CHECK_SECONDS
        self._version: _Version | None = None
        self._complaint = ""
        self._keys = self._read()

    async def find(self, key: bytes) -> ApiKey | None:
        """The entry of a key that a caller gave; None where there is none.

        Takes the same time whether the key is known or not, and whichever it is.
        """
        now = self._clock()
        if now >= self._next_check_at:
            # Set before the file is looked at: who comes meanwhile is measured by the old keys.
            self._next_check_at = now + _CHECK_SECONDS
            await asyncio.to_thread(self._refresh)
        digest = hashlib.sha256(key).digest()
        found = None
        for known in self._keys:
            if hmac.compare_digest(known.digest, digest):
                found = known
        return found

    def _refresh(self) -> None:
        try:
            if self._version == _version_of(self._path.stat()):
                return
            self._keys = self._read()
        except (OSError, KeyFileError) as error:
            self._complain(error)
        else:
            self._complaint = ""
            logger.info("the file of API keys has changed: %d keys are in force", len(self._keys))

    def _complain(self, error: Exception) -> None:
        """Once for each new fault: the file is looked at every second."""
        reason = _reason(error)
        if reason != self._complaint:
            logger.error(
                "the new file of API keys is not taken, the old keys stay in force: %s", reason
            )
        self._complaint = reason

    def _read(self) -> tuple[ApiKey, ...]:
        """Read the file and remember which state of it that was, broken or not."""
        try:
            with self._path.open("rb") as file:
                self._version = _version_of(os.fstat(file.fileno()))
                data = file.read(_MAX_FILE_BYTES + 1)
            if len(data) > _MAX_FILE_BYTES:
                raise KeyFileError(f"it has more than {_MAX_FILE_BYTES} bytes")
            return parse_keys(data.decode("ascii"))
        except UnicodeDecodeError as error:
            # Not chained: that exception holds the bytes.
            raise KeyFileError(f"byte {error.start} is not ASCII") from None
        except OSError as error:
            raise KeyFileError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Why, without the path: an operator knows it, and a caller must not learn it."""
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)


def _version_of(status: os.stat_result) -> _Version:
    return _Version(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
