"""Image files in a folder, or in zip files that are read without unpacking."""

import zipfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from training.data.sources.source import ImageFiles
from training.errors import DataError

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})


class FolderImages:
    """The images anywhere under a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        """Raises DataError: a name is not UTF-8, which a pack's index could not hold."""
        paths = (path for path in self._root.rglob("*") if is_image(path.name))
        names = sorted(path.relative_to(self._root).as_posix() for path in paths)
        for name in names:
            try:
                name.encode()
            except UnicodeEncodeError as error:
                raise DataError(f"the file name {name!r} is not UTF-8; rename the file") from error
        return names

    def read(self, name: str) -> bytes:
        return (self._root / name).read_bytes()


class ZipImages:
    """The images in some zip files; with more than one, a name begins with its zip file's stem."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)

    def __reduce__(self) -> tuple[type["ZipImages"], tuple[tuple[Path, ...]]]:
        # By its paths: open files stay with the process that opened them.
        return ZipImages, (self._paths,)

    def names(self) -> list[str]:
        """Raises DataError: a file is no zip file."""
        return sorted(self._members)

    def read(self, name: str) -> bytes:
        archive, member = self._members[name]
        return archive.read(member)

    @cached_property
    def _members(self) -> dict[str, tuple[zipfile.ZipFile, zipfile.ZipInfo]]:
        members = {}
        for path in self._paths:
            try:
                archive = zipfile.ZipFile(path)
            except (OSError, zipfile.BadZipFile) as error:
                raise DataError(f"{path} cannot be read as a zip file ({error})") from error
            prefix = f"{path.stem}/" if len(self._paths) > 1 else ""
            for member in archive.infolist():
                if is_image(member.filename):
                    members[prefix + member.filename] = archive, member
        return members


def is_image(name: str) -> bool:
    """Whether a name ends as an image's does; what macOS adds to zip files does not count."""
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("._")


def open_images(path: Path) -> ImageFiles:
    """Open a folder of images, a zip file, or a folder of zip files.

    Raises:
        DataError: no image is there, or the path does not exist.
    """
    if path.is_dir():
        files: ImageFiles = FolderImages(path)
        archives = sorted(path.glob("*.zip"))
        if archives and not files.names():
            files = ZipImages(archives)
    elif path.is_file():
        files = ZipImages([path])
    else:
        raise DataError(f"{path} does not exist; name a folder of images or a zip file")
    if not files.names():
        raise DataError(f"no image ({', '.join(sorted(IMAGE_SUFFIXES))}) under {path}")
    return files
