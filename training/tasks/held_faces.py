"""Faces that a super-resolution network is scored on again and again, with what never changes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from model_store.affectsrnet.config import HR_SIZE_PX
from model_store.image_tensor import resize_bicubic, round_to_uint8_levels
from training.data.datasets import FaceBatch
from training.quality import luma, psnr


@dataclass(frozen=True)
class HeldFaces:
    """A batch of faces, prepared once.

    Attributes:
        lr: (N, 3, h, h) in [0, 1].
        landmarks: (N, 478, 3) found in the LR images, or None for a network without.
        target: (N, 128, 128) Y of the originals, in 8-bit levels.
        bicubic_psnr_db: (N,) of the bicubic enlargement.
    """

    lr: Tensor
    landmarks: Tensor | None
    target: Tensor
    bicubic_psnr_db: Tensor


def hold_faces(
    batches: Iterable[FaceBatch],
    *,
    degrade: Callable[[FaceBatch], Tensor],
    find_landmarks: Callable[[Tensor], Tensor | None],
) -> list[HeldFaces]:
    """Degrade faces, find their landmarks and measure their bicubic enlargement."""
    held = []
    for faces in batches:
        lr, target = degrade(faces), luma(faces.images)
        bicubic = psnr(luma(enlarge_bicubic(lr)), target)
        held.append(HeldFaces(lr, find_landmarks(lr), target, bicubic))
    return held


def enlarge_bicubic(lr: Tensor) -> Tensor:
    """(N, 3, h, h) -> (N, 3, 128, 128), held in 8 bits: what a result is compared with."""
    return round_to_uint8_levels(resize_bicubic(lr, height=HR_SIZE_PX, width=HR_SIZE_PX))
