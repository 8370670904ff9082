"""A face pack: aligned faces with their teacher landmarks, indexed and checksummed, in one folder.

``prepare`` writes packs, training and evaluation map them into memory. A pack holds
``images.npy`` (N, 128, 128, 3) uint8 RGB, ``landmarks.npy`` (N, 478, 3) float32,
``index.csv`` (a row a face, in the arrays' order) and ``pack.json`` (counts, checksums, files that
were skipped, likely duplicates). Whoever reads a pack needs neither MediaPipe nor an image decoder.
"""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from model_store.landmarks.topology import LANDMARK_COUNT
from training.errors import DataError

FACE_SIDE_PX = 128
PACK_FORMAT = 2
_READABLE_FORMATS = (1, 2)  # 1 had no slice "test" and told no duplicates
IMAGES_NAME, LANDMARKS_NAME, INDEX_NAME = "images.npy", "landmarks.npy", "index.csv"
_PAYLOAD_NAMES = (IMAGES_NAME, LANDMARKS_NAME, INDEX_NAME)

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True, kw_only=True)
class FaceRecord:
    """One face of a pack.

    Attributes:
        file: Name of the source file, relative to the prepared folder or within its zip file.
        sha256: Digest of the source file's bytes.
        group: Who or what the photo shows; a group is never split between train and validation.
        split: Which slice the face belongs to.
        sharpness: Mean squared error, in squared 8-bit levels, of a x2 down-and-up by bicubic:
            what the face has to teach about detail.
    """

    file: str
    sha256: str
    group: str
    split: Split
    sharpness: float


@dataclass(frozen=True, kw_only=True)
class SkippedFile:
    """A source file that did not become a face, and why."""

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """Two faces that are likely the same photograph.

    Attributes:
        file: A face of the pack.
        other: A later face of the pack, or of the pack ``pack``.
        pack: Name of the other face's pack; None for the same.
        distance: How many of the bits of their perceptual hashes differ.
    """

    file: str
    other: str
    pack: str | None
    distance: int


@dataclass(frozen=True)
class FacePack:
    """A pack opened for reading; the arrays are memory-mapped and read-only.

    Attributes:
        images: (N, 128, 128, 3) uint8 RGB.
        landmarks: (N, 478, 3) float32; x, y in [0, 1] of the face image, z on x's scale.
    """

    name: str
    digest: str
    records: tuple[FaceRecord, ...]
    images: npt.NDArray[np.uint8]
    landmarks: npt.NDArray[np.float32]

    def rows(self, split: Split) -> npt.NDArray[np.int64]:
        """Return the indices of the faces of one slice, in the pack's order."""
        return np.array([i for i, r in enumerate(self.records) if r.split == split], dtype=np.int64)


def write_pack(
    folder: Path,
    records: Sequence[FaceRecord],
    *,
    images: npt.NDArray[np.uint8],
    landmarks: npt.NDArray[np.float32],
    skipped: Iterable[SkippedFile],
) -> None:
    """Write a pack that fits in memory so that it appears complete or not at all.

    Raises:
        DataError: the folder exists already, or there is no face to write.
    """
    if not records:
        raise DataError(f"no face was found for {folder}; nothing was written")
    if folder.exists():
        raise DataError(f"{folder} exists; remove it or name another pack")
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    np.save(partial / IMAGES_NAME, images)
    np.save(partial / LANDMARKS_NAME, landmarks)
    complete_pack(partial, records, skipped=skipped, duplicates=())
    partial.rename(folder)


def complete_pack(
    folder: Path,
    records: Sequence[FaceRecord],
    *,
    skipped: Iterable[SkippedFile],
    duplicates: Iterable[Duplicate],
) -> None:
    """Write the index and the summary beside the arrays that lie in the folder."""
    with (folder / INDEX_NAME).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(FaceRecord)])
        writer.writeheader()
        writer.writerows(asdict(record) for record in records)
    slices = Counter(record.split for record in records)
    summary = {
        "format": PACK_FORMAT,
        "faces": len(records),
        "validation_faces": slices["validation"],
        "test_faces": slices["test"],
        "sha256": {name: sha256_of_file(folder / name) for name in _PAYLOAD_NAMES},
        "skipped": [asdict(item) for item in skipped],
        "duplicates": [asdict(item) for item in duplicates],
    }
    (folder / "pack.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def open_pack(folder: Path, *, verify: bool = False) -> FacePack:
    """Open a pack; with ``verify`` every payload is read once and compared with its checksum.

    Raises:
        DataError: the folder is no pack, is incomplete, or a file is not the one written.
    """
    summary_path = folder / "pack.json"
    if not summary_path.is_file():
        raise DataError(f"{folder} is no face pack: pack.json is missing; make it with 'prepare'")
    try:
        summary = json.loads(summary_path.read_text(encoding="utf-8"))
        faces, checksums = int(summary["faces"]), dict(summary["sha256"])
        if summary.get("kind", "faces") != "faces":
            raise DataError(f"{folder} is a pack of {summary['kind']}, not of faces with landmarks")
        if summary["format"] not in _READABLE_FORMATS:
            raise DataError(
                f"{folder} has pack format {summary['format']}, readable are "
                f"{' and '.join(map(str, _READABLE_FORMATS))}; prepare the pack anew"
            )
        for name in _PAYLOAD_NAMES if verify else ():
            if sha256_of_file(folder / name) != checksums[name]:
                raise DataError(f"{folder / name} is damaged (checksum); prepare the pack anew")
        records = _read_index(folder / INDEX_NAME)
        images = np.load(folder / IMAGES_NAME, mmap_mode="r")
        landmarks = np.load(folder / LANDMARKS_NAME, mmap_mode="r")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is damaged ({error}); prepare the pack anew") from error
    expected = (faces, FACE_SIDE_PX, FACE_SIDE_PX, 3), (faces, LANDMARK_COUNT, 3)
    if (images.shape, landmarks.shape) != expected or len(records) != faces:
        raise DataError(f"{folder} is damaged (its arrays disagree); prepare the pack anew")
    digest = hashlib.sha256(json.dumps(checksums, sort_keys=True).encode()).hexdigest()
    return FacePack(folder.name, digest, records, images, landmarks)


def _read_index(path: Path) -> tuple[FaceRecord, ...]:
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(read_record(row) for row in csv.DictReader(file))


def read_record(row: Mapping[str, str]) -> FaceRecord:
    """Build a record from its texts; raises KeyError or ValueError when they are not one."""
    return FaceRecord(
        file=row["file"],
        sha256=row["sha256"],
        group=row["group"],
        split=read_split(row["split"]),
        sharpness=float(row["sharpness"]),
    )


def read_split(text: str) -> Split:
    """Read a slice's name; raises ValueError when it is none."""
    for split in SPLITS:
        if text == split:
            return split
    raise ValueError(f"unknown slice {text!r}")


def sha256_of_file(path: Path) -> str:
    """Digest of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
