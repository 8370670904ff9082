"""Results on their way to the disk: whole or not at all, whatever ends the program."""

import os
import threading
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

# One name for each target, so that the next run writes over what a power cut left.
_PART_SUFFIX = ".affectsr-part"


class Output(Protocol):
    """Where results are written; safe to use from several threads."""

    def write(self, name: str, data: bytes) -> None:
        """Write one result, whole; raises OSError."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class FolderOutput:
    """Files below a folder; folders between are made as they are needed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, name: str, data: bytes) -> None:
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Do nothing: every file was whole when it got its name."""


class ArchiveOutput:
    """Files of a zip archive that appears when the block ends, unless it ends by an exception."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = part_beside(path)
        self._lock = threading.Lock()

    def write(self, name: str, data: bytes) -> None:
        with self._lock:
            self._archive.writestr(name, data)

    def __enter__(self) -> Self:
        # Stored, not deflated: the images are compressed already.
        self._archive = zipfile.ZipFile(self._part, "w", zipfile.ZIP_STORED)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            is_empty = not self._archive.namelist()
            self._archive.close()
            if error is None and not is_empty:
                self._part.replace(self._path)
        finally:
            self._part.unlink(missing_ok=True)


def write_whole(target: Path, data: bytes) -> None:
    """Write a file so that its name never means half of it; raises OSError."""
    part = part_beside(target)
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the new name with no bytes
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def part_beside(target: Path) -> Path:
    """The hidden file that a target is written to until it is whole."""
    return target.with_name(f".{target.name}{_PART_SUFFIX}")
