"""Compiled graphs kept in a folder from one start to the next, and what they are compared with.

It holds weights, and results for the built-in faces; nothing of what callers send.

Everything here may be deleted at any time. A folder that cannot be read or written costs time, no
more.
"""

import contextlib
import glob
import logging
import os
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path

import model_store

logger = logging.getLogger(__name__)

_DIGEST_BYTES = 32
_KEY_LENGTH = 20
# Of one name: those of releases that may be rolled back to, and of other settings.
_MOST_KEPT = 4


class GraphCache:
    """Named bytes in a folder, each under a key of all that they depend on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser()

    def read(self, name: str, *, key: str) -> bytes | None:
        """Return what was written; None where it was not, or is not what was written."""
        path = self._path(name, key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("the engine's cache cannot be read: %s", error)
            return None
        digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if sha256(content).digest() != digest:
            logger.warning("%s is damaged and made anew", path)
            return None
        with contextlib.suppress(OSError):  # a folder that may only be read serves as well
            os.utime(path)  # what was used last is kept
        return content

    def write(self, name: str, content: bytes, *, key: str) -> None:
        """Keep bytes; the file appears whole or not at all.

        Of a name only the files that were used last are kept: each release has its own.
        """
        path = self._path(name, key)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=self._folder, prefix=".writing-", delete=False
            ) as partial:
                try:
                    partial.write(sha256(content).digest() + content)
                    partial.close()
                    Path(partial.name).replace(path)
                except BaseException:
                    Path(partial.name).unlink(missing_ok=True)
                    raise
            for outdated in self._of_name(name)[_MOST_KEPT:]:
                outdated.unlink(missing_ok=True)
        except OSError as error:
            logger.warning(
                "the engine's cache cannot be written (%s), so every start converts the models "
                "anew; name a folder in AFFECTSR_ENGINE_CACHE_DIR, or nothing to do without",
                error,
            )

    def _of_name(self, name: str) -> list[Path]:
        """What is kept under any key, the last used first."""
        ending = "?" * _KEY_LENGTH + ".graph"
        return sorted(
            self._folder.glob(f"{glob.escape(name)}-{ending}"),
            key=lambda path: path.stat().st_mtime,
            reverse=True,
        )

    def _path(self, name: str, key: str) -> Path:
        return self._folder / f"{name}-{key[:_KEY_LENGTH]}.graph"


@cache
def digest_of_code() -> str:
    """Digest of the sources that decide what a network computes: newer code, another graph."""
    digest = sha256()
    folders = [Path(model_store.__file__).parent, Path(__file__).parent]
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
