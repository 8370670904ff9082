"""What a data set becomes before a picture is decoded: files to read and what is known of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from training.data.pack import SkippedFile, Split
from training.errors import DataError


class ImageFiles(Protocol):
    """Image files under relative names, in a folder or in zip files; may be pickled."""

    def names(self) -> list[str]:
        """Return the sorted names of all images, folders separated by "/"."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes; raises OSError or zipfile.BadZipFile when it cannot be read."""


@dataclass(frozen=True, kw_only=True)
class SourceItem:
    """One picture with one face that is asked for.

    Attributes:
        name: Name of its file among the source's.
        group: Who or what it shows; a group is never split between train and validation.
        split: The slice that the data set's authors put it in; None leaves it to the group.
        points: x, y in pixels of both eyes' centres, the nose's tip and the mouth's corners, as in
            training.data.alignment; None where the set does not mark them.
    """

    name: str
    group: str
    split: Split | None = None
    points: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True, kw_only=True)
class FaceSource:
    """A data set, listed.

    Attributes:
        files: Where the items' bytes are.
        items: In a fixed order.
        skipped: Files that cannot become faces for what the set's annotation says or lacks.
    """

    files: ImageFiles
    items: tuple[SourceItem, ...]
    skipped: tuple[SkippedFile, ...] = ()


def read_annotation(path: Path) -> str:
    """Read a text file of a data set.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
