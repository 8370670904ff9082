"""Labeled Faces in the Wild (Huang et al. 2007): pictures that are named for their person.

As published, one folder a person (``Ada_Lovelace/Ada_Lovelace_0001.jpg``); or the same files flat.
"""

import re
from pathlib import Path, PurePosixPath

from training.data.pack import SkippedFile
from training.data.sources.image_files import open_images
from training.data.sources.source import FaceSource, SourceItem
from training.errors import DataError

_NAME = re.compile(r"(.+)_\d{4}$")


def open_lfw(path: Path) -> FaceSource:
    """List the pictures of LFW; the person is the group.

    Raises:
        DataError: no picture is named as LFW's are.
    """
    files = open_images(path)
    items, skipped = [], []
    for name in files.names():
        match = _NAME.match(PurePosixPath(name).stem)
        if match is None:
            skipped.append(SkippedFile(file=name, reason="not named PERSON_0001 as LFW's are"))
        else:
            items.append(SourceItem(name=name, group=match.group(1)))
    if not items:
        raise DataError(
            f"no image under {path} is named PERSON_0001; name LFW's folder or use --source folder"
        )
    return FaceSource(files=files, items=tuple(items), skipped=tuple(skipped))
