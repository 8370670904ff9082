"""Turn a folder of face crops into a face pack: decode, size, teacher landmarks, slices.

The only step of training that needs MediaPipe (extra ``training``).
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from model_store.errors import FaceNotFoundError
from model_store.image_tensor import RgbImage
from training.data.pack import FACE_SIDE_PX, FaceRecord, SkippedFile, Split, write_pack
from training.errors import DataError

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
# A crop this much longer than wide is no aligned face crop; squeezing it would bend the face.
_MAX_ASPECT = 1.05


class LandmarkTeacher(Protocol):
    """Finds the 478 landmarks of a high-resolution face; MediaPipeMesh is one."""

    def detect(self, image: RgbImage) -> npt.NDArray[np.float32]:
        """Return (478, 3) landmarks, or raise FaceNotFoundError."""


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """How a folder becomes a pack.

    Attributes:
        group_pattern: Regular expression whose first group names the person in a file's stem;
            None makes every file a group of its own.
        validation_permille: Share of groups, in thousandths, that is cut off for validation.
    """

    group_pattern: str | None = None
    validation_permille: int = 30


@dataclass(frozen=True)
class PrepareReport:
    """What became of the files of a folder."""

    faces: int
    validation_faces: int
    skipped: tuple[SkippedFile, ...]


def prepare_pack(
    source: Path,
    target: Path,
    *,
    teacher: LandmarkTeacher,
    options: PrepareOptions,
    progress: Callable[[list[Path]], Iterator[Path]] = iter,
) -> PrepareReport:
    """Read every image under ``source`` and write the pack ``target``.

    A file that is unreadable, not square or shows no face to the teacher is skipped, counted
    and listed in the pack's ``pack.json``.

    Raises:
        DataError: no image under ``source``, no face in any, or ``target`` exists.
    """
    files = sorted(p for p in source.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(f"no image ({suffixes}) under {source}")
    if target.exists():
        raise DataError(f"{target} exists; remove it or name another pack")
    faces: list[tuple[FaceRecord, RgbImage, npt.NDArray[np.float32]]] = []
    skipped: list[SkippedFile] = []
    for path in progress(files):
        name = path.relative_to(source).as_posix()
        try:
            image = read_face(path)
            landmarks = teacher.detect(image)
        except (DataError, FaceNotFoundError) as error:
            skipped.append(SkippedFile(file=name, reason=str(error)))
            continue
        faces.append((_describe(path, name, image, options), image, landmarks))
    records = [record for record, _, _ in faces]
    if not records:
        raise DataError(f"none of the {len(files)} images under {source} shows a usable face")
    write_pack(
        target,
        records,
        images=np.stack([image for _, image, _ in faces]),
        landmarks=np.stack([landmarks for _, _, landmarks in faces]),
        skipped=skipped,
    )
    validation = sum(record.split == "validation" for record in records)
    return PrepareReport(len(records), validation, tuple(skipped))


def read_face(path: Path) -> RgbImage:
    """Decode a face crop and bring it to (128, 128, 3) uint8 RGB by Pillow's bicubic.

    Raises:
        DataError: the file is no readable image, or it is not square.
    """
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise DataError(f"unreadable image ({error})") from error
    if max(image.size) > _MAX_ASPECT * min(image.size):
        raise DataError(f"{image.width} x {image.height} px is not a square face crop")
    if image.size != (FACE_SIDE_PX, FACE_SIDE_PX):
        image = image.resize((FACE_SIDE_PX, FACE_SIDE_PX), Image.Resampling.BICUBIC)
    return np.asarray(image)


def measure_sharpness(image: RgbImage) -> float:
    """Mean squared error (squared 8-bit levels) of a bicubic x2 down-and-up of the image."""
    full = Image.fromarray(image)
    half = full.resize((full.width // 2, full.height // 2), Image.Resampling.BICUBIC)
    back = np.asarray(half.resize(full.size, Image.Resampling.BICUBIC), dtype=np.float64)
    return float(np.mean((back - image) ** 2))


def assign_split(group: str, *, validation_permille: int) -> Split:
    """Cut a group off for validation by a hash of its name: stable across runs and machines."""
    bucket = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8]) % 1000
    return "validation" if bucket < validation_permille else "train"


def _describe(path: Path, name: str, image: RgbImage, options: PrepareOptions) -> FaceRecord:
    match = re.match(options.group_pattern, path.stem) if options.group_pattern else None
    group = match.group(1) if match else name
    return FaceRecord(
        file=name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        group=group,
        split=assign_split(group, validation_permille=options.validation_permille),
        sharpness=measure_sharpness(image),
    )
