"""Faces that are drawn, and a teacher that sees them: a face is what is not black."""

import os
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_store.errors import FaceNotFoundError
from model_store.faces.framing import TEMPLATE
from model_store.image_tensor import RgbImage

_FIVE_NODES = (468, 473, 4, 61, 291)


class FakeTeacher:
    """Lays the five points into the box of all that is not black; z tells the box's brightness."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is held."""

    def detect(self, image: RgbImage) -> npt.NDArray[np.float32]:
        rows, columns = np.nonzero(image.max(2) > 30)
        if len(rows) == 0:
            raise FaceNotFoundError("all is black")
        low = np.array([columns.min(), rows.min()])
        size = np.array([columns.max(), rows.max()]) + 1 - low
        mesh = np.full((478, 3), 0.5, np.float32)
        mesh[list(_FIVE_NODES), :2] = (low + TEMPLATE * size) / image.shape[1::-1]
        mesh[:, 2] = image[rows, columns].mean() / 255
        return mesh


class KillingTeacher(FakeTeacher):
    """Kills its process, as `kill -9` does, at the face after the first ``KILL_AFTER``."""

    def __init__(self) -> None:
        self._left = int(os.environ["KILL_AFTER"])

    def detect(self, image: RgbImage) -> npt.NDArray[np.float32]:
        self._left -= 1
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(image)


def draw_face(seed: int, *, side: int = 128, cells: int = 9) -> RgbImage:
    """A random texture of cells x cells spots, nowhere black and unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(60, 256, (cells, cells, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def draw_photo(
    seed: int, *, size: tuple[int, int], face_side: int, corner: tuple[int, int]
) -> RgbImage:
    """A black picture of width x height with a face at a corner x, y."""
    photo = np.zeros((size[1], size[0], 3), np.uint8)
    x, y = corner
    photo[y : y + face_side, x : x + face_side] = draw_face(seed, side=face_side)
    return photo


def save(path: Path, image: RgbImage) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path
