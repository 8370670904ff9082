"""A pack that is being made: appended to in steps that survive a kill at any moment.

While ``prepare`` runs, ``NAME.partial`` holds the growing arrays and ``journal.txt``. A step's
faces go to the arrays first; then one line of the journal, with its own digest, says what they are.
A line that is cut off or does not match takes its step and the later ones with it: opening again
goes back to the last step that is proven whole, and the finished pack is the same in every byte.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

import numpy as np

from model_store.landmarks.topology import LANDMARK_COUNT
from training.data.face_maker import MadeFace
from training.data.pack import (
    FACE_SIDE_PX,
    IMAGES_NAME,
    LANDMARKS_NAME,
    Duplicate,
    FacePack,
    FaceRecord,
    SkippedFile,
    complete_pack,
    read_record,
)
from training.errors import DataError

_JOURNAL_NAME = "journal.txt"
_IMAGE_SHAPE = (FACE_SIDE_PX, FACE_SIDE_PX, 3)
_LANDMARK_SHAPE = (LANDMARK_COUNT, 3)
_IMAGE_BYTES = FACE_SIDE_PX * FACE_SIDE_PX * 3
_LANDMARK_BYTES = LANDMARK_COUNT * 3 * 4
# NumPy pads a header so that its first dimension may grow without moving the data.
ARRAY_HEADER_BYTES = 128
_ARRAYS = (
    (IMAGES_NAME, np.dtype("u1"), _IMAGE_SHAPE, _IMAGE_BYTES),
    (LANDMARKS_NAME, np.dtype("<f4"), _LANDMARK_SHAPE, _LANDMARK_BYTES),
)


class _Step(TypedDict):
    """A line of the journal.

    Attributes:
        items: Items of the source that the step dealt with.
        records: Its faces, as in the index.
        skipped: Its files that gave no face.
        sha256: Digests of what it added to the arrays, in the arrays' order.
    """

    items: int
    records: list[dict[str, str]]
    skipped: list[dict[str, str]]
    sha256: list[str]


class PartialPack:
    """Opens the unfinished pack of ``target``, or begins it.

    Args:
        target: Folder of the pack to be.
        plan: Tells what is being made; a step is only gone on from under the same plan.

    Attributes:
        num_done: Items of the source that are dealt with, as faces or as skipped.
        skipped: Files among them that gave no face.
        records: The faces so far.

    Raises:
        DataError: the target exists, or what was begun is another plan's.
    """

    def __init__(self, target: Path, *, plan: str) -> None:
        if target.exists():
            raise DataError(f"{target} exists; remove it or name another pack")
        self._target = target
        self._partial = target.with_name(target.name + ".partial")
        self._folder = self._partial / "pack"
        self._journal = self._partial / _JOURNAL_NAME
        self.num_done = 0
        self.records: list[FaceRecord] = []
        self.skipped: list[SkippedFile] = []
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = [plan]
        begun, *steps = _read_lines(self._journal) or kept
        if begun != plan:
            raise DataError(
                f"{self._partial} was begun with other files or options; repeat that command, or "
                "remove the folder"
            )
        for line in steps:
            step = json.loads(line)
            if not self._is_whole(step):
                break
            self._take(step)
            kept.append(line)
        self._truncate(kept)

    def append(
        self, faces: Sequence[MadeFace], *, skipped: Sequence[SkippedFile], num_items: int
    ) -> None:
        """Add the next step: what became of ``num_items`` items of the source.

        Raises:
            DataError: it cannot be written; what was written before is not touched.
        """
        blocks = _array_bytes(faces)
        step: _Step = {
            "items": num_items,
            "records": [asdict(face.record) for face in faces],
            "skipped": [asdict(item) for item in skipped],
            "sha256": [hashlib.sha256(block).hexdigest() for block in blocks],
        }
        with self._telling_of_a_full_disk():
            for (name, *_), block in zip(_ARRAYS, blocks, strict=True):
                _append(self._folder / name, block)
            _append(self._journal, _sealed(json.dumps(step)))
        self._take(step)

    def view(self) -> FacePack:
        """Map the faces so far into memory, read-only."""
        count = len(self.records)
        images, landmarks = (
            np.memmap(
                self._folder / name,
                dtype=dtype,
                mode="r",
                offset=ARRAY_HEADER_BYTES,
                shape=(count, *shape),
            )
            for name, dtype, shape, _ in _ARRAYS
        )
        return FacePack(self._target.name, "", tuple(self.records), images, landmarks)

    def finish(self, *, skipped: Iterable[SkippedFile], duplicates: Iterable[Duplicate]) -> None:
        """Complete the pack and let it appear under its name.

        Args:
            skipped: All files that gave no face.
            duplicates: Faces that are likely the same photograph.

        Raises:
            DataError: it cannot be written; what was written before is not touched.
        """
        with self._telling_of_a_full_disk():
            for name, dtype, shape, _ in _ARRAYS:
                with (self._folder / name).open("r+b") as file:
                    file.write(array_header((len(self.records), *shape), dtype))
                    os.fsync(file.fileno())
            complete_pack(self._folder, self.records, skipped=skipped, duplicates=duplicates)
            self._folder.rename(self._target)
        self.discard()

    def discard(self) -> None:
        """Remove what was begun."""
        shutil.rmtree(self._partial)

    @contextmanager
    def _telling_of_a_full_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"cannot write to {self._partial} ({error}); once there is room, the same command "
                "goes on where it was"
            ) from error

    def _is_whole(self, step: _Step) -> bool:
        """Whether the arrays hold a step, the next after those taken, as it was written."""
        count = len(step["records"])
        try:
            for (name, _, _, size), digest in zip(_ARRAYS, step["sha256"], strict=True):
                with (self._folder / name).open("rb") as file:
                    file.seek(ARRAY_HEADER_BYTES + len(self.records) * size)
                    if hashlib.sha256(file.read(count * size)).hexdigest() != digest:
                        return False
        except FileNotFoundError:
            return False
        return True

    def _take(self, step: _Step) -> None:
        self.num_done += step["items"]
        self.records += [read_record(row) for row in step["records"]]
        self.skipped += [SkippedFile(**item) for item in step["skipped"]]

    def _truncate(self, lines: Sequence[str]) -> None:
        """Cut everything off that belongs to no step that was taken over."""
        for name, _, _, size in _ARRAYS:
            with (self._folder / name).open("ab") as file:
                file.truncate(ARRAY_HEADER_BYTES + len(self.records) * size)
        journal = self._journal.with_suffix(".new")
        journal.write_bytes(b"".join(_sealed(line) for line in lines))
        journal.replace(self._journal)


def _read_lines(journal: Path) -> list[str]:
    """The lines up to the first that is cut off or is not what was written."""
    lines: list[str] = []
    for sealed in journal.read_bytes().splitlines(keepends=True) if journal.exists() else ():
        line = sealed[65:-1].decode(errors="replace")
        if sealed != _sealed(line):
            break
        lines.append(line)
    return lines


def _sealed(line: str) -> bytes:
    return f"{hashlib.sha256(line.encode()).hexdigest()} {line}\n".encode()


def _append(path: Path, block: bytes) -> None:
    with path.open("ab") as file:
        file.write(block)
        file.flush()
        os.fsync(file.fileno())


def _array_bytes(faces: Sequence[MadeFace]) -> tuple[bytes, bytes]:
    images = b"".join(np.ascontiguousarray(face.image, "u1").tobytes() for face in faces)
    landmarks = b"".join(np.ascontiguousarray(face.landmarks, "<f4").tobytes() for face in faces)
    return images, landmarks


def array_header(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> bytes:
    """The first ARRAY_HEADER_BYTES of a .npy file whose array follows row by row."""
    buffer = io.BytesIO()
    fields = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, fields)
    assert buffer.tell() == ARRAY_HEADER_BYTES
    return buffer.getvalue()
