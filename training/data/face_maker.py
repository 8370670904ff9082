"""From one file of a source to one face of a pack: decode, frame, find landmarks, describe."""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from model_store.errors import FaceNotFoundError
from model_store.faces.framing import mesh_points
from model_store.image_tensor import RgbImage
from training.data.alignment import align_face
from training.data.pack import FACE_SIDE_PX, FaceRecord, SkippedFile, Split
from training.data.sources.source import ImageFiles, SourceItem
from training.errors import DataError

# A crop this much longer than wide is no aligned face crop; squeezing it would bend the face.
_MAX_ASPECT = 1.05
# The teacher's detector reads 192 px; more than this only takes time.
_DETECTION_SIDE_PX = 1024
# What Pillow raises for files that are no image, broken, cut off or bombs.
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class LandmarkTeacher(Protocol):
    """Finds the 478 landmarks of a high-resolution face; MediaPipeMesh is one."""

    def detect(self, image: RgbImage) -> npt.NDArray[np.float32]:
        """Return (478, 3) landmarks, or raise FaceNotFoundError."""


@dataclass(frozen=True)
class MadeFace:
    """A face as a pack holds it."""

    record: FaceRecord
    image: RgbImage
    landmarks: npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class FramingOptions:
    """How pictures become crops, and crops go to slices.

    Attributes:
        align: Find the face in a whole picture with the teacher and align it, where the source
            knows no points; otherwise such a picture has to be a square crop.
        validation_permille: Share of groups, in thousandths, that is cut off for validation where
            the source's authors have not.
    """

    align: bool = False
    validation_permille: int = 30


class FaceMaker:
    """Makes faces from a source's items, one at a time, with one teacher."""

    def __init__(
        self, files: ImageFiles, teacher: LandmarkTeacher, *, options: FramingOptions
    ) -> None:
        self._files = files
        self._teacher = teacher
        self._options = options

    def make(self, item: SourceItem) -> MadeFace | SkippedFile:
        """Make a face, or say why the file gives none."""
        try:
            data = read_file(self._files, item.name)
            image = self._frame(data, item)
            landmarks = self._teacher.detect(image)
        except (DataError, FaceNotFoundError) as error:
            return SkippedFile(file=item.name, reason=str(error))
        record = FaceRecord(
            file=item.name,
            sha256=hashlib.sha256(data).hexdigest(),
            group=item.group,
            split=choose_split(item, self._options),
            sharpness=measure_sharpness(image),
        )
        return MadeFace(record, image, landmarks)

    def _frame(self, data: bytes, item: SourceItem) -> RgbImage:
        if item.points is not None:
            # Marked in the pixels as stored, whatever the orientation tag says.
            return align_face(decode_image(data, turn=False), np.array(item.points))
        picture = decode_image(data, turn=True)
        if not self._options.align:
            return resize_crop(picture)
        points = mesh_points(
            self._teacher.detect(_shrink(picture)),
            width=picture.shape[1],
            height=picture.shape[0],
        )
        return align_face(picture, points)


def resize_crop(crop: RgbImage) -> RgbImage:
    """Bring a square face crop to (128, 128, 3) by Pillow's antialiased bicubic.

    Raises:
        DataError: it is not square.
    """
    check_square(crop, remedy="--align cuts faces out of pictures")
    height, width = crop.shape[:2]
    if (width, height) == (FACE_SIDE_PX, FACE_SIDE_PX):
        return crop
    size = (FACE_SIDE_PX, FACE_SIDE_PX)
    return np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BICUBIC))


def check_square(crop: RgbImage, *, remedy: str) -> None:
    """Raises DataError, with the remedy: the picture is too far from square for a face's crop."""
    height, width = crop.shape[:2]
    if max(width, height) > _MAX_ASPECT * min(width, height):
        raise DataError(f"{width} x {height} px is not a square face crop; {remedy}")


def measure_sharpness(image: RgbImage) -> float:
    """Mean squared error (squared 8-bit levels) of a bicubic x2 down-and-up of the image."""
    full = Image.fromarray(image)
    half = full.resize((full.width // 2, full.height // 2), Image.Resampling.BICUBIC)
    back = np.asarray(half.resize(full.size, Image.Resampling.BICUBIC), dtype=np.float64)
    return float(np.mean((back - image) ** 2))


def choose_split(item: SourceItem, options: FramingOptions) -> Split:
    """The slice that the set's authors put an item in, or else the one that its group falls in."""
    permille = options.validation_permille
    return item.split or assign_split(item.group, validation_permille=permille)


def assign_split(group: str, *, validation_permille: int) -> Split:
    """Cut a group off for validation by a hash of its name: stable across runs and machines."""
    bucket = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8]) % 1000
    return "validation" if bucket < validation_permille else "train"


def read_file(files: ImageFiles, name: str) -> bytes:
    """Read one of a source's files; raises DataError when it cannot be read."""
    try:
        return files.read(name)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"unreadable file ({error})") from error


def decode_image(data: bytes, *, turn: bool) -> RgbImage:
    """Decode to RGB, turned as its EXIF tag says when asked; raises DataError."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = ImageOps.exif_transpose(opened) if turn else opened
            return np.asarray(image.convert("RGB"))
    except _DECODE_ERRORS as error:
        raise DataError(f"unreadable image ({error})") from error


def _shrink(picture: RgbImage) -> RgbImage:
    height, width = picture.shape[:2]
    scale = _DETECTION_SIDE_PX / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
