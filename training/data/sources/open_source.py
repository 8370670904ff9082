"""From the name of a data set to its source."""

from pathlib import Path
from typing import Literal

from training.data.sources.celeba import open_celeba
from training.data.sources.ffhq import open_ffhq
from training.data.sources.folder import open_folder
from training.data.sources.helen import open_helen
from training.data.sources.lfw import open_lfw
from training.data.sources.source import FaceSource
from training.data.sources.utkface import open_utkface
from training.errors import DataError

SourceKind = Literal["folder", "celeba", "ffhq", "helen", "lfw", "utkface"]


def open_source(path: Path, *, kind: SourceKind, group_pattern: str | None = None) -> FaceSource:
    """List the pictures of a data set.

    Args:
        path: Its folder, or a zip file where the set allows it.
        kind: Which set it is; "folder" is any.
        group_pattern: For "folder" alone, see open_folder.

    Raises:
        DataError: the set is not there as it should be; the message names what is missing.
    """
    if kind == "folder":
        return open_folder(path, group_pattern=group_pattern)
    if group_pattern is not None:
        raise DataError(f"--group-pattern is for --source folder; {kind} has its own groups")
    openers = {
        "celeba": open_celeba,
        "ffhq": open_ffhq,
        "helen": open_helen,
        "lfw": open_lfw,
        "utkface": open_utkface,
    }
    if not path.exists():
        raise DataError(f"{path} does not exist; name the folder of the {kind} set")
    return openers[kind](path)
