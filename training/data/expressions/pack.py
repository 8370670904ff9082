"""An expression pack: face crops as the classifier reads them, with labels and slices.

``prepare`` writes it, training and evaluation map it into memory. It holds ``images.npy``
(N, 112, 112, 3) uint8 RGB, ``index.csv`` (a row a face, in the array's order) and ``pack.json``
(kind, counts, checksums, files that were skipped). A face pack (training.data.pack) is another
thing: larger, differently framed, with landmarks and without labels.
"""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from model_store.emotion.classifier import CROP_PX, EMOTIONS
from model_store.image_tensor import RgbImage
from training.data.pack import (
    IMAGES_NAME,
    INDEX_NAME,
    SkippedFile,
    Split,
    read_split,
    sha256_of_file,
)
from training.data.partial_pack import ARRAY_HEADER_BYTES, array_header
from training.errors import DataError

EXPRESSION_PACK_FORMAT = 1
_KIND = "expressions"
_SUMMARY_NAME = "pack.json"
_PAYLOAD_NAMES = (IMAGES_NAME, INDEX_NAME)
_CROP_SHAPE = (CROP_PX, CROP_PX, 3)

Framing = Literal["official", "mediapipe", "landmarker", "mean_face"]
"""What a crop was aligned by: its set's authors, the landmarks that MediaPipe or our Landmarker
found in it, or the mean face where neither was sure."""
_FRAMINGS: tuple[Framing, ...] = get_args(Framing)


@dataclass(frozen=True, kw_only=True)
class ExpressionRecord:
    """One face of a pack.

    Attributes:
        file: Name of the source file, relative to the prepared folder.
        sha256: Digest of the source file's bytes.
        expression: One of EMOTIONS.
        split: Which slice the face belongs to.
        framing: What it was aligned by.
    """

    file: str
    sha256: str
    expression: str
    split: Split
    framing: Framing


@dataclass(frozen=True)
class ExpressionFace:
    """A face as a pack holds it: its record and its (112, 112, 3) uint8 RGB crop."""

    record: ExpressionRecord
    image: RgbImage


@dataclass(frozen=True)
class ExpressionPack:
    """A pack opened for reading; the images are memory-mapped and read-only.

    Attributes:
        images: (N, 112, 112, 3) uint8 RGB.
        skipped: Source files that gave no face.
    """

    name: str
    digest: str
    records: tuple[ExpressionRecord, ...]
    images: npt.NDArray[np.uint8]
    skipped: tuple[SkippedFile, ...]

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """(N,) index of each face's expression in EMOTIONS."""
        return np.array([EMOTIONS.index(r.expression) for r in self.records], dtype=np.int64)

    def rows(self, split: Split) -> npt.NDArray[np.int64]:
        """Return the indices of the faces of one slice, in the pack's order."""
        return np.array([i for i, r in enumerate(self.records) if r.split == split], dtype=np.int64)


def write_expression_pack(folder: Path, made: Iterable[ExpressionFace | SkippedFile]) -> None:
    """Write a pack as its faces are made; it appears complete or not at all.

    Raises:
        DataError: the folder exists already, no face was made, or the disk is full.
    """
    if folder.exists():
        raise DataError(f"{folder} exists; remove it or name another pack")
    partial = folder.with_name(folder.name + ".partial")
    records: list[ExpressionRecord] = []
    skipped: list[SkippedFile] = []
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with (partial / IMAGES_NAME).open("wb") as file:
            file.write(bytes(ARRAY_HEADER_BYTES))
            for item in made:
                if isinstance(item, SkippedFile):
                    skipped.append(item)
                else:
                    file.write(np.ascontiguousarray(item.image, "u1").tobytes())
                    records.append(item.record)
            file.seek(0)
            file.write(array_header((len(records), *_CROP_SHAPE), np.dtype("u1")))
        if not records:
            reasons = Counter(item.reason for item in skipped).most_common(1)
            why = f": {reasons[0][0]} ({reasons[0][1]} files)" if reasons else ""
            raise DataError(f"no face with a label was found for {folder}{why}")
        _write_index(partial, records, skipped)
        partial.rename(folder)
    except OSError as error:
        raise DataError(f"cannot write to {partial} ({error}); free space and repeat") from error


def open_expression_pack(folder: Path, *, verify: bool = False) -> ExpressionPack:
    """Open a pack; with ``verify`` every payload is read once and compared with its checksum.

    Raises:
        DataError: there is none, it is of another kind or format, or it is damaged.
    """
    path = folder / _SUMMARY_NAME
    if not path.is_file():
        raise DataError(
            f"{folder} is no pack; make it with `python -m training prepare --source rafdb` or "
            "`--source expressions`"
        )
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        if summary.get("kind") != _KIND or summary["format"] != EXPRESSION_PACK_FORMAT:
            raise DataError(
                f"{folder} is a pack of kind {summary.get('kind', 'faces')}, format "
                f"{summary['format']}; what learns or is measured here needs kind {_KIND}, format "
                f"{EXPRESSION_PACK_FORMAT}"
            )
        faces, checksums = int(summary["faces"]), dict(summary["sha256"])
        for name in _PAYLOAD_NAMES if verify else ():
            if sha256_of_file(folder / name) != checksums[name]:
                raise DataError(f"{folder / name} is damaged (checksum); prepare the pack anew")
        records = _read_index(folder / INDEX_NAME)
        images = np.load(folder / IMAGES_NAME, mmap_mode="r")
        skipped = tuple(SkippedFile(**item) for item in summary["skipped"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is damaged ({error}); prepare the pack anew") from error
    if images.shape != (faces, *_CROP_SHAPE) or len(records) != faces:
        raise DataError(f"{folder} is damaged (its arrays disagree); prepare the pack anew")
    digest = hashlib.sha256(json.dumps(checksums, sort_keys=True).encode()).hexdigest()
    return ExpressionPack(folder.name, digest, records, images, skipped)


def _write_index(
    folder: Path, records: Sequence[ExpressionRecord], skipped: Sequence[SkippedFile]
) -> None:
    with (folder / INDEX_NAME).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(ExpressionRecord)])
        writer.writeheader()
        writer.writerows(asdict(record) for record in records)
    summary = {
        "kind": _KIND,
        "format": EXPRESSION_PACK_FORMAT,
        "faces": len(records),
        "slices": Counter(record.split for record in records),
        "expressions": Counter(record.expression for record in records),
        "framings": Counter(record.framing for record in records),
        "sha256": {name: sha256_of_file(folder / name) for name in _PAYLOAD_NAMES},
        "skipped": [asdict(item) for item in skipped],
    }
    text = json.dumps(summary, indent=2) + "\n"
    (folder / _SUMMARY_NAME).write_text(text, encoding="utf-8")


def _read_index(path: Path) -> tuple[ExpressionRecord, ...]:
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(_read_record(row) for row in csv.DictReader(file))


def _read_record(row: Mapping[str, str]) -> ExpressionRecord:
    expression = row["expression"]
    if expression not in EMOTIONS:
        raise ValueError(f"unknown expression {expression!r}")
    return ExpressionRecord(
        file=row["file"],
        sha256=row["sha256"],
        expression=expression,
        split=read_split(row["split"]),
        framing=_read_framing(row["framing"]),
    )


def _read_framing(text: str) -> Framing:
    for framing in _FRAMINGS:
        if text == framing:
            return framing
    raise ValueError(f"unknown framing {text!r}")
