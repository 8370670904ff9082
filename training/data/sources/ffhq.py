"""Flickr-Faces-HQ (Karras et al. 2019): numbered square faces, aligned by its authors.

``images1024x1024`` or ``thumbnails128x128``, as folders or as zip files. The pack's framing is this
set's, so its faces are only resized.
"""

from pathlib import Path, PurePosixPath

from training.data.pack import SkippedFile, Split
from training.data.sources.image_files import open_images
from training.data.sources.source import FaceSource, SourceItem
from training.errors import DataError

# "the first 60,000 images to be used for training and the remaining 10,000 for validation": the
# set's README.
_TRAINING_IMAGES = 60_000
_FOLDERS = ("images1024x1024", "thumbnails128x128")


def open_ffhq(path: Path) -> FaceSource:
    """List the faces of FFHQ: a folder or zip file of them, or the folder that holds one such.

    Raises:
        DataError: no numbered image, or both of the set's sizes are there.
    """
    files = open_images(_choose_size(path))
    items, skipped = [], []
    for name in files.names():
        stem = PurePosixPath(name).stem
        if not (stem.isascii() and stem.isdigit()):
            skipped.append(SkippedFile(file=name, reason="not a number as FFHQ's names are"))
            continue
        split: Split = "train" if int(stem) < _TRAINING_IMAGES else "validation"
        items.append(SourceItem(name=name, group=stem, split=split))
    if not items:
        raise DataError(
            f"no image under {path} has a number for a name (00000.png); name FFHQ's "
            f"{' or '.join(_FOLDERS)}, or use --source folder"
        )
    return FaceSource(files=files, items=tuple(items), skipped=tuple(skipped))


def _choose_size(path: Path) -> Path:
    """The one of the set's sizes under a folder, or the folder itself."""
    places = [path / name for name in _FOLDERS] + [path / f"{name}.zip" for name in _FOLDERS]
    found = [place for place in places if place.exists()]
    if len(found) > 1:
        names = ", ".join(place.name for place in found)
        raise DataError(f"{path} holds {names}; every face would be there twice: name one of them")
    return found[0] if found else path
