"""Helen (Le et al. 2012): large pictures with 194 points a face, and the authors' two lists.

A folder with the pictures (in any folders), ``annotation`` with a text file a picture, and
``trainnames.txt`` and ``testnames.txt``.
"""

import math
from pathlib import Path, PurePosixPath

import numpy as np

from model_store.faces.framing import Points
from training.data.pack import SkippedFile, Split
from training.data.sources.image_files import open_images
from training.data.sources.source import FaceSource, SourceItem, read_annotation
from training.errors import DataError

_NUM_POINTS = 194
# The order of the points: jaw 0-40, nose 41-57, outer lips 58-85, inner lips 86-113, eyes 114-133
# and 134-153, brows 154-193.
_EYES = (slice(114, 134), slice(134, 154))
_LIPS = slice(58, 86)
_LISTS: dict[str, Split | None] = {"trainnames.txt": None, "testnames.txt": "test"}


def open_helen(path: Path) -> FaceSource:
    """List the pictures of Helen with their eyes and mouth corners, and its test slice.

    Raises:
        DataError: annotation or lists are missing or not understood.
    """
    splits = _read_lists(path)
    points = _read_annotations(path / "annotation")
    files = open_images(path)
    items, skipped = [], []
    for name in files.names():
        stem = PurePosixPath(name).stem
        if stem not in splits or stem not in points:
            reason = f"in neither {' nor '.join(_LISTS)}" if stem not in splits else "not annotated"
            skipped.append(SkippedFile(file=name, reason=reason))
            continue
        split = splits[stem]
        items.append(SourceItem(name=name, group=stem, split=split, points=points[stem]))
    return FaceSource(files=files, items=tuple(items), skipped=tuple(skipped))


def _read_lists(path: Path) -> dict[str, Split | None]:
    splits: dict[str, Split | None] = {}
    for name, split in _LISTS.items():
        if not (path / name).is_file():
            raise DataError(
                f"{path / name} is missing; download it from Helen's page, or use --source folder "
                "--align to go without"
            )
        splits |= dict.fromkeys(read_annotation(path / name).split(), split)
    return splits


def _read_annotations(folder: Path) -> dict[str, tuple[tuple[float, float], ...]]:
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        raise DataError(
            f"{folder} holds no annotation (1.txt to 2330.txt); unpack Helen's annotation.zip "
            "there, or use --source folder --align to go without"
        )
    return dict(_read_points(path) for path in paths)


def _read_points(path: Path) -> tuple[str, tuple[tuple[float, float], ...]]:
    """A file is the picture's name and 194 lines ``x , y``."""
    name, *lines = read_annotation(path).split("\n")
    try:
        marked = np.array([[float(value) for value in line.split(",")] for line in lines if line])
    except ValueError as error:
        raise DataError(f"{path} is no annotation of Helen ({error})") from error
    if marked.shape != (_NUM_POINTS, 2):
        raise DataError(f"{path} is no annotation of Helen: {marked.shape} for (194, 2) numbers")
    return name.strip(), tuple((float(x), float(y)) for x, y in _five_points(marked))


def _five_points(marked: Points) -> Points:
    """Eyes' centres and mouth corners of the 194 points; the nose's tip is not among them."""
    left, right = sorted((marked[eye].mean(0) for eye in _EYES), key=lambda centre: centre[0])
    lips = marked[_LIPS]
    along = lips @ (right - left)  # the corners are the ends of the lips, along the eyes' line
    unknown = (math.nan, math.nan)
    return np.array([left, right, unknown, lips[along.argmin()], lips[along.argmax()]])
