"""Test faces: what a model is shown, and what its images are compared with, kept apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from model_store.affectsrnet.config import HR_SIZE_PX
from model_store.image_tensor import RgbImage, images_to_tensor, tensor_to_image
from training.config import DegradationConfig
from training.data.degradation import degrade
from training.data.draws import BatchDraws
from training.data.pack import FacePack, open_pack

_PLAIN = DegradationConfig()
# Faces that are degraded together, which bounds the memory of it.
_DEGRADED_TOGETHER = 50


@dataclass(frozen=True)
class LrFaces:
    """All that a model gets to see of a set: nothing here was read from an HR image but its LR.

    Attributes:
        set_name: Name of the set.
        stems: Names of the faces' files without suffix, in the set's order.
        images: LR images, (h, h, 3) uint8 RGB each.
        scale: 4 or 8.
    """

    set_name: str
    stems: tuple[str, ...]
    images: tuple[RgbImage, ...]
    scale: int

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def tensor(self) -> Tensor:
        """(N, 3, h, h) float32 in [0, 1]."""
        return images_to_tensor(self.images)


@dataclass(frozen=True)
class FaceSet:
    """A set of test faces.

    Attributes:
        name: Name of the pack.
        digest: Digest of the pack's checksums.
        stems: Names of the faces' files without suffix.
        originals: HR images, (128, 128, 3) uint8 RGB each.
        landmarks: (N, 478, 3) the teacher's, found in the HR image: for measuring only.
        degradation: How LR images are made of them.
    """

    name: str
    digest: str
    stems: tuple[str, ...]
    originals: tuple[RgbImage, ...]
    landmarks: Tensor
    degradation: DegradationConfig = _PLAIN

    def __len__(self) -> int:
        return len(self.originals)

    def at_scale(self, scale: int) -> LrFaces:
        """LR images, the same at every call: the protocol's, Pillow's bicubic in 8 bits, or worse.

        What is drawn for the degradation of a face follows from its place in the set.
        """
        side = HR_SIZE_PX // scale
        small = (
            tuple(low_resolution(image, side_px=side) for image in self.originals)
            if self.degradation.is_plain
            else tuple(_degraded(self.originals, self.degradation, side_px=side))
        )
        return LrFaces(self.name, self.stems, small, scale)


def open_face_sets(
    root: Path,
    names: Sequence[str],
    *,
    max_faces: int | None = None,
    degradation: DegradationConfig = _PLAIN,
) -> list[FaceSet]:
    """Open face packs to report on.

    Args:
        root: Folder of the packs.
        names: Names of the packs.
        max_faces: At most so many faces of each, spread evenly over the pack.
        degradation: How LR images are made of them.

    Raises:
        DataError: a pack is missing or damaged.
    """
    return [
        replace(
            read_face_set(open_pack(root / name, verify=True), max_faces=max_faces),
            degradation=degradation,
        )
        for name in names
    ]


def read_face_set(
    pack: FacePack,
    *,
    rows: npt.NDArray[np.int64] | None = None,
    max_faces: int | None = None,
) -> FaceSet:
    """Read the faces of a pack into memory: those in ``rows``, or all slices of it."""
    chosen = np.arange(len(pack.records)) if rows is None else rows
    count = len(chosen)
    keep = count if max_faces is None else min(count, max_faces)
    places = np.linspace(0, count - 1, keep).round().astype(int)
    return _face_set(pack, chosen[places].tolist())


def _face_set(pack: FacePack, rows: Sequence[int]) -> FaceSet:
    return FaceSet(
        name=pack.name,
        digest=pack.digest,
        stems=tuple(PurePosixPath(pack.records[row].file).stem for row in rows),
        originals=tuple(np.array(pack.images[row]) for row in rows),
        landmarks=torch.from_numpy(np.array(pack.landmarks[rows])),
    )


def low_resolution(image: RgbImage, *, side_px: int) -> RgbImage:
    """The protocol's LR image: Pillow's bicubic of a uint8 image."""
    return _resize(image, side_px)


def enlarge_bicubic(image: RgbImage) -> RgbImage:
    """The tables' first column: Pillow's bicubic back to 128 px."""
    return _resize(image, HR_SIZE_PX)


def _degraded(
    images: Sequence[RgbImage], config: DegradationConfig, *, side_px: int
) -> Iterator[RgbImage]:
    for start in range(0, len(images), _DEGRADED_TOGETHER):
        hr = images_to_tensor(images[start : start + _DEGRADED_TOGETHER])
        draws = BatchDraws.of_step(seed=0, step=start, batch_size=len(hr))
        ids = torch.arange(start, start + len(hr))
        for lr in degrade(hr, side_px=side_px, config=config, draws=draws, ids=ids):
            yield tensor_to_image(lr)


def _resize(image: RgbImage, side_px: int) -> RgbImage:
    resized = Image.fromarray(image).resize((side_px, side_px), Image.Resampling.BICUBIC)
    return np.asarray(resized)
