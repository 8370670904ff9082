"""UTKFace (Zhang et al. 2017): files named ``age_gender_race_date.jpg``, persons not named.

Either its aligned crops (``UTKFace``) or the pictures in the wild (``part1`` to ``part3``), which
want ``--align``.
"""

import re
from pathlib import Path, PurePosixPath

from training.data.pack import SkippedFile
from training.data.sources.image_files import open_images
from training.data.sources.source import FaceSource, SourceItem
from training.errors import DataError

# A few files of the set lack the race.
_NAME = re.compile(r"\d{1,3}_[01]_(\d_)?\d{14,}")


def open_utkface(path: Path) -> FaceSource:
    """List the pictures of UTKFace, each a group of its own.

    Raises:
        DataError: no picture is named as UTKFace's are.
    """
    files = open_images(path)
    items, skipped = [], []
    for name in files.names():
        if _NAME.match(PurePosixPath(name).name):
            items.append(SourceItem(name=name, group=name))
        else:
            reason = "not named age_gender_race_date as UTKFace's are"
            skipped.append(SkippedFile(file=name, reason=reason))
    if not items:
        raise DataError(
            f"no image under {path} is named age_gender_race_date; name UTKFace's folder or use "
            "--source folder"
        )
    return FaceSource(files=files, items=tuple(items), skipped=tuple(skipped))
