"""Any folder or zip file of pictures."""

import re
from pathlib import Path, PurePosixPath

from training.data.sources.image_files import open_images
from training.data.sources.source import FaceSource, SourceItem
from training.errors import DataError


def open_folder(path: Path, *, group_pattern: str | None = None) -> FaceSource:
    """List every image under a folder.

    Args:
        path: Folder, zip file, or folder of zip files.
        group_pattern: Regular expression whose first group names the person at a stem's beginning;
            an image that it does not match is a group of its own.

    Raises:
        DataError: there is no image, or the pattern is no regular expression with a group.
    """
    pattern = _compile(group_pattern) if group_pattern else None
    files = open_images(path)
    items = []
    for name in files.names():
        match = pattern.match(PurePosixPath(name).stem) if pattern else None
        items.append(SourceItem(name=name, group=match.group(1) if match else name))
    return FaceSource(files=files, items=tuple(items))


def _compile(group_pattern: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(group_pattern)
    except re.error as error:
        raise DataError(f"--group-pattern {group_pattern!r}: {error}") from error
    if pattern.groups == 0:
        raise DataError(f"--group-pattern {group_pattern!r} has no (group) that names the person")
    return pattern
