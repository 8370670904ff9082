"""CelebA (Liu et al. 2015): pictures with five landmarks each and the authors' three slices.

A folder as its authors or Kaggle lay it out: pictures in ``img_align_celeba`` or ``img_celeba``
(a folder or a zip file), the lists as .txt or .csv beside them, in ``Anno`` or in ``Eval``.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from training.data.pack import SkippedFile, Split
from training.data.sources.image_files import open_images
from training.data.sources.source import FaceSource, SourceItem, read_annotation
from training.errors import DataError

# Folder of pictures -> list of the landmarks in them; the first that is there is taken.
_LANDMARK_LISTS = {
    "img_align_celeba": "list_landmarks_align_celeba",
    "img_celeba": "list_landmarks_celeba",
}
_PARTITION_LIST = "list_eval_partition"
_IDENTITY_LIST = "identity_CelebA"
_SPLITS: dict[str, Split] = {"0": "train", "1": "validation", "2": "test"}
_SEPARATOR = re.compile(r"[,\s]+")


def open_celeba(path: Path) -> FaceSource:
    """List the pictures of CelebA with their landmarks and slices.

    The group is the identity where ``identity_CelebA.txt`` is there; the slices never share one.

    Raises:
        DataError: the pictures or a list are missing or not understood.
    """
    pictures, kind = _find_pictures(path)
    partition = _read_list(path, _PARTITION_LIST, columns=1)
    landmarks = _read_list(path, _LANDMARK_LISTS[kind], columns=10)
    has_identities = _find_list(path, _IDENTITY_LIST) is not None
    identities = _read_list(path, _IDENTITY_LIST, columns=1) if has_identities else {}
    files = open_images(pictures)
    items, skipped = [], []
    for name in files.names():
        key = PurePosixPath(name).name
        if key not in landmarks or partition.get(key, ("",))[0] not in _SPLITS:
            reason = f"without a row in {_LANDMARK_LISTS[kind]} or a slice in {_PARTITION_LIST}"
            skipped.append(SkippedFile(file=name, reason=reason))
            continue
        x_y = [float(value) for value in landmarks[key]]
        items.append(
            SourceItem(
                name=name,
                group=identities.get(key, (key,))[0],
                split=_SPLITS[partition[key][0]],
                # Whole numbers mean pixels; an alignment counts from a pixel's corner.
                points=tuple((x + 0.5, y + 0.5) for x, y in zip(x_y[::2], x_y[1::2], strict=True)),
            )
        )
    return FaceSource(files=files, items=tuple(items), skipped=tuple(skipped))


def _find_pictures(path: Path) -> tuple[Path, str]:
    for kind in _LANDMARK_LISTS:
        for folder in (path, path / "Img"):
            for place in (folder / kind, folder / f"{kind}.zip"):
                if place.exists():
                    return place, kind
    raise DataError(
        f"{path} holds neither {' nor '.join(_LANDMARK_LISTS)} (folder or .zip, also in Img); name "
        "the folder that does, or use --source folder for pictures alone"
    )


def _find_list(path: Path, name: str) -> Path | None:
    places = (
        folder / (name + suffix)
        for folder in (path, path / "Anno", path / "Eval")
        for suffix in (".txt", ".csv")
    )
    return next((place for place in places if place.is_file()), None)


def _read_list(path: Path, name: str, *, columns: int) -> dict[str, tuple[str, ...]]:
    found = _find_list(path, name)
    if found is None:
        raise DataError(
            f"{name}.txt is missing under {path} (looked there, in Anno and in Eval); download it "
            "from CelebA's page, or use --source folder --align to go without"
        )
    return dict(_rows(found, columns=columns))


def _rows(path: Path, *, columns: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    for number, line in enumerate(read_annotation(path).splitlines(), start=1):
        name, *values = _SEPARATOR.split(line.strip())
        if not PurePosixPath(name).suffix:
            continue  # the number of rows, the names of the columns, an empty line
        if len(values) != columns or not all(value.lstrip("-").isdigit() for value in values):
            raise DataError(
                f"{path}, line {number}: {line.strip()!r} is no file name with {columns} whole "
                "numbers; download the list anew"
            )
        yield name, tuple(values)
