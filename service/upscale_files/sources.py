"""What is to be read: files, patterns, folders with all below them, zip archives."""

import glob
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from service.archives import is_hidden, listed_files, read_entry
from service.errors import CorruptArchiveError, ImageTooLargeError
from service.images import MediaType

MEDIA_TYPES: dict[str, MediaType] = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
ARCHIVE_SUFFIX = ".zip"

# Archives lie on the caller's own disk and are read file by file, so this only keeps one that was
# made to do harm from filling the memory with names.
_MAX_ARCHIVED_FILES = 100_000


class Source(Protocol):
    """An image to read.

    Attributes:
        name: relative to what was asked for, with forward slashes; the result's but for the suffix.
        label: what the user knows it by.
        file: the file that it lies in.
    """

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def file(self) -> Path: ...

    def read(self) -> bytes:
        """Read the whole image; raises OSError or ServiceError."""


@dataclass(frozen=True)
class FileSource:
    """An image file."""

    file: Path
    name: str

    @property
    def label(self) -> str:
        return str(self.file)

    def read(self) -> bytes:
        return self.file.read_bytes()


@dataclass(frozen=True, eq=False)
class ArchivedSource:
    """An image in a zip archive that stays open meanwhile."""

    file: Path
    archive: zipfile.ZipFile
    entry: zipfile.ZipInfo
    number: int
    max_bytes: int

    @property
    def name(self) -> str:
        return self.entry.filename

    @property
    def label(self) -> str:
        return f"{self.file}: {self.entry.filename}"

    def read(self) -> bytes:
        if self.entry.file_size > self.max_bytes:
            raise ImageTooLargeError(
                f"it unpacks to {self.entry.file_size} bytes; at most {self.max_bytes} are taken: "
                "crop the face or compress the file"
            )
        return read_entry(self.archive, self.entry, number=self.number)


@dataclass(frozen=True, eq=False)
class FoundSources:
    """What the arguments mean.

    Attributes:
        sources: in the order of the arguments, by name within each.
        num_left_alone: files in folders and archives that are no images by their suffix.
    """

    sources: Sequence[Source]
    num_left_alone: int


@contextmanager
def open_sources(
    arguments: Sequence[str], *, out: Path, max_image_bytes: int
) -> Iterator[FoundSources]:
    """Find every image that the arguments mean; archives stay open until the block ends.

    Hidden files, and what lies in `out`, are not looked for in folders, nor by patterns.

    Args:
        arguments: files, folders, zip archives, or patterns with `*`, `?`, `[...]` and `**`.
        out: where results go.
        max_image_bytes: of an image in an archive.

    Raises:
        ValueError: an argument means nothing, or no image at all.
    """
    sources: list[Source] = []
    num_left_alone = 0
    with ExitStack() as stack:
        for argument in arguments:
            path = Path(argument)
            if path.is_dir():
                found, others = _in_folder(path, out)
            elif path.suffix.lower() == ARCHIVE_SUFFIX and path.is_file():
                archive = stack.enter_context(_open_archive(path))
                found, others = _in_archive(path, archive, max_image_bytes)
            elif path.is_file():
                found, others = [FileSource(path, path.name)], 0
            else:
                found, others = _by_pattern(argument, out), 0
            sources += found
            num_left_alone += others
        yield FoundSources(sources, num_left_alone)


def _in_folder(folder: Path, out: Path) -> tuple[Sequence[Source], int]:
    if out.exists() and out.samefile(folder):
        raise ValueError(
            f"{out} is an input and OUT; its images would be overwritten: name another OUT"
        )
    own_results = out.resolve()
    sources: list[Source] = []
    num_left_alone = 0
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (here / name).resolve() != own_results
        )
        for name in sorted(names):
            path = here / name
            if name.startswith(".") or not path.is_file():
                continue
            if path.suffix.lower() in MEDIA_TYPES:
                sources.append(FileSource(path, path.relative_to(folder).as_posix()))
            else:
                num_left_alone += 1
    if not sources:
        raise ValueError(f"{folder} holds no image; its files must end in {', '.join(MEDIA_TYPES)}")
    return sources, num_left_alone


def _by_pattern(pattern: str, out: Path) -> Sequence[Source]:
    if not glob.has_magic(pattern):
        raise ValueError(f"{pattern} is no file; name an image to read")
    # Names are kept from the first part on that is a pattern.
    parts = Path(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    own_results = out.resolve()
    sources = [
        FileSource(path, path.relative_to(base).as_posix())
        for path in sorted(base.glob(str(Path(*parts[fixed:]))))
        if path.is_file()
        and not is_hidden(PurePosixPath(path.relative_to(base).as_posix()))
        and own_results not in path.resolve().parents
    ]
    if not sources:
        raise ValueError(f"{pattern} matches no file; name an image to read")
    return sources


def _open_archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ValueError(f"{path} is no zip archive that can be read: {error}") from error


def _in_archive(
    path: Path, archive: zipfile.ZipFile, max_image_bytes: int
) -> tuple[Sequence[Source], int]:
    num_listed = len(archive.infolist())
    if num_listed > _MAX_ARCHIVED_FILES:
        raise ValueError(
            f"{path} lists {num_listed} files; at most {_MAX_ARCHIVED_FILES} are read: unpack it "
            "and name the folder"
        )
    try:
        entries = listed_files(archive)
    except CorruptArchiveError as error:
        raise ValueError(f"{path}: {error}") from error
    sources = [
        ArchivedSource(path, archive, entry, number, max_image_bytes)
        for number, entry in enumerate(entries, start=1)
        if PurePosixPath(entry.filename).suffix.lower() in MEDIA_TYPES
    ]
    if not sources:
        raise ValueError(f"{path} holds no image; its files must end in {', '.join(MEDIA_TYPES)}")
    return sources, len(entries) - len(sources)
