"""Zip archives of images: which files they hold, each read within bounds. No other kind of archive.

An archive may promise gigabytes in a few bytes, list a million files, or name files outside of any
folder. What it says of itself is checked before anything is unpacked, and nothing more than it says
is unpacked. Only the two methods of packing that every zip program writes are taken; others can ask
for gigabytes of memory to unpack a byte.
"""

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from service.errors import (
    ArchiveTooLargeError,
    CorruptArchiveError,
    EmptyBodyError,
    TooManyImagesError,
)

# Every file that a reader could list begins with this in the archive's directory (APPNOTE 4.3.12).
_DIRECTORY_SIGNATURE = b"PK\x01\x02"
# Folders and hidden files are listed too, so this is more than the images that one may hold; what
# counts is that listing so many takes milliseconds.
_MAX_LISTED = 1000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1  # general purpose bit 0, APPNOTE 4.4.4
_MAX_NAME_CHARACTERS = 255

# What zipfile raises on broken archives besides its own class; it promises none.
_READER_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,  # UnicodeDecodeError is one
)


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """What an archive that is held in memory may be.

    Attributes:
        max_images: files that are no folders and not hidden.
        max_image_bytes: of one, unpacked.
        max_total_bytes: of all together, unpacked.
    """

    max_images: int
    max_image_bytes: int
    max_total_bytes: int


@dataclass(frozen=True)
class ArchivedFile:
    """A file as it came out of an archive.

    Attributes:
        name: relative, with forward slashes, printable, without `..`.
    """

    name: str
    data: bytes


def unpack_images(data: bytes, limits: ArchiveLimits) -> list[ArchivedFile]:
    """Unpack all files in the archive's order; whether they are images their decoder says.

    Raises:
        CorruptArchiveError: no zip archive, a broken one, an encrypted one, or one with a name that
            leads elsewhere.
        TooManyImagesError: more files than the limits allow.
        ArchiveTooLargeError: more unpacked bytes than the limits allow.
        EmptyBodyError: no file.
    """
    listed = data.count(_DIRECTORY_SIGNATURE)
    if listed > _MAX_LISTED:
        raise TooManyImagesError(
            f"the archive lists {listed} files and folders; at most {_MAX_LISTED} are read, of "
            f"which {limits.max_images} may be images: send several archives"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = listed_files(archive)
            _check_sizes(entries, limits)
            return [
                ArchivedFile(entry.filename, read_entry(archive, entry, number=number))
                for number, entry in enumerate(entries, start=1)
            ]
    except _READER_ERRORS as error:
        raise CorruptArchiveError(
            f"the archive of {len(data)} bytes is no zip file, or broken; pack it again"
        ) from error


def listed_files(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of an archive but for hidden ones and what macOS adds to its own.

    Raises:
        CorruptArchiveError: a file is encrypted, packed by an uncommon method, or has a name that
            leads out of its folder or cannot be printed.
    """
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    visible = [entry for entry in entries if not is_hidden(PurePosixPath(entry.filename))]
    for number, entry in enumerate(visible, start=1):
        _check_entry(entry, number)
    return visible


def is_hidden(path: PurePosixPath) -> bool:
    """Whether a part of a relative path begins with a dot, or it is macOS's folder of extras."""
    return path.parts[:1] == ("__MACOSX",) or any(
        part.startswith(".") and part != ".." for part in path.parts
    )


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, *, number: int) -> bytes:
    """Unpack one file, and no more of it than the archive's directory says it has.

    Raises:
        CorruptArchiveError: its bytes are broken.
    """
    try:
        with archive.open(entry) as file:
            return file.read(entry.file_size)
    except _READER_ERRORS as error:
        raise CorruptArchiveError(
            f"file {number} of the archive is broken: its bytes are not those that were packed; "
            "pack it again"
        ) from error


def _check_entry(entry: zipfile.ZipInfo, number: int) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise CorruptArchiveError(
            f"file {number} of the archive is encrypted; pack it without a password"
        )
    if entry.compress_type not in _METHODS:
        raise CorruptArchiveError(
            f"file {number} of the archive is packed by method {entry.compress_type}; pack it "
            "stored or deflated, as zip programs do by default"
        )
    name = entry.filename
    path = PurePosixPath(name)
    leads_elsewhere = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name
    if leads_elsewhere or not name.isprintable() or len(name) > _MAX_NAME_CHARACTERS:
        raise CorruptArchiveError(
            f"file {number} of the archive has a name that leads out of its folder, cannot be "
            f"printed, or is longer than {_MAX_NAME_CHARACTERS} characters; rename it"
        )


def _check_sizes(entries: Sequence[zipfile.ZipInfo], limits: ArchiveLimits) -> None:
    if not entries:
        raise EmptyBodyError("the archive holds no image; pack at least one")
    if len(entries) > limits.max_images:
        raise TooManyImagesError(
            f"the archive holds {len(entries)} files; one request may hold {limits.max_images}: "
            "send several archives"
        )
    for number, entry in enumerate(entries, start=1):
        if entry.file_size > limits.max_image_bytes:
            raise ArchiveTooLargeError(
                f"file {number} of the archive unpacks to {entry.file_size} bytes; at most "
                f"{limits.max_image_bytes} are taken: crop the face or compress the file"
            )
    total = sum(entry.file_size for entry in entries)
    if total > limits.max_total_bytes:
        raise ArchiveTooLargeError(
            f"the archive unpacks to {total} bytes; at most {limits.max_total_bytes} are taken: "
            "send several archives"
        )
