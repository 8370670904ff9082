"""Faces for training and validation, drawn from packs as a pure function of seed and step."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.config import DataConfig
from training.data.draws import BatchDraws, step_generator
from training.data.pack import FacePack, Split, open_pack
from training.errors import DataError

_CPU = torch.device("cpu")
# The rest is for the network, its gradients and its activations.
_MAX_SHARE_OF_FREE_MEMORY = 0.25


@dataclass(frozen=True)
class FaceBatch:
    """Faces with their teacher landmarks.

    Attributes:
        images: (N, 3, 128, 128) float RGB in [0, 1].
        landmarks: (N, 478, 3); x, y in [0, 1] of the image, z on x's scale.
        ids: (N,) int64 on the CPU, each face's number among all of the dataset.
    """

    images: Tensor
    landmarks: Tensor
    ids: Tensor

    def __len__(self) -> int:
        return len(self.images)


class FaceDataset:
    """The faces of several packs, with the slice cut off for validation.

    Raises:
        DataError: a pack is missing or damaged, no face is left for training or validation, or
            the device has no room for the faces that are to lie there.
    """

    def __init__(self, config: DataConfig, *, root: Path, device: torch.device = _CPU) -> None:
        self.packs: Sequence[FacePack] = tuple(
            # Seconds a gigabyte, once a run, against hours of learning from damaged faces.
            open_pack(root / name, verify=True)
            for name in config.packs
        )
        sizes = [len(pack.records) for pack in self.packs]
        self._first_ids = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
        self._train = self._rows("train")
        validation = self._rows("validation")
        least = config.min_validation_sharpness
        validation = validation[self._sharpness(validation) >= least]
        sharpness = self._sharpness(self._train)
        # For the gap to validation: training faces of the same kind.
        alike = self._train[sharpness >= least]
        if len(alike) == 0 or len(validation) == 0:
            raise DataError(
                f"packs {', '.join(config.packs)} leave {len(alike)} faces for training and "
                f"{len(validation)} for validation of sharpness {least:g} and more; each needs at "
                "least one"
            )
        keep = min(len(validation), config.max_validation_faces)
        spread = np.linspace(0, len(validation) - 1, keep).round().astype(np.int64)
        # As many of both, the same ones whatever the run's seed.
        some = torch.randperm(len(alike), generator=step_generator(seed=0, step=0))[:keep]
        self._held: Mapping[Split, npt.NDArray[np.int64]] = {
            "validation": validation[spread],
            "train": alike[some.sort().values.numpy()],
        }
        self._weights = torch.from_numpy((sharpness + 1e-3) ** config.sharpness_exponent)
        self._device = device
        self._resident = self._load_resident() if self._is_resident(config.resident) else None

    @property
    def num_train_faces(self) -> int:
        """Faces to learn from."""
        return len(self._train)

    def train_batch(self, draws: BatchDraws) -> FaceBatch:
        """Draw a batch with replacement, sharper faces more often, before augmentation.

        Of the batch, the faces at hand are returned, on the dataset's device.
        """
        drawn = torch.multinomial(
            self._weights, draws.batch_size, replacement=True, generator=draws.generator
        )
        places = drawn[draws.rows]
        rows = self._train[places.numpy()]
        if self._resident is None:
            return self._load(rows)
        images, landmarks = (tensor[places.to(self._device)] for tensor in self._resident)
        return self._to_batch(images, landmarks, rows)

    def held_batches(
        self, split: Split, *, batch_size: int, limit: int | None = None
    ) -> Iterator[FaceBatch]:
        """Yield the faces to score on, unchanged and in a fixed order, at most ``limit`` batches.

        The validation slice, or as many faces at random of those to learn from.
        """
        rows = self._held[split]
        for start in range(0, len(rows), batch_size)[:limit]:
            yield self._load(rows[start : start + batch_size])

    def train_landmarks(self) -> npt.NDArray[np.float32]:
        """Return the (N, 478, 3) teacher landmarks of all faces to learn from."""
        return np.stack([self.packs[p].landmarks[i] for p, i in self._train.tolist()])

    def _sharpness(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(R,) of the faces in (R, 2) rows."""
        return np.array([self.packs[p].records[i].sharpness for p, i in rows.tolist()], np.float64)

    def _rows(self, split: Split) -> npt.NDArray[np.int64]:
        """(R, 2): pack number and row within the pack."""
        rows = [np.stack([np.full(len(r), p), r], 1) for p, r in self._enumerate_rows(split)]
        return np.concatenate(rows) if rows else np.zeros((0, 2), dtype=np.int64)

    def _enumerate_rows(self, split: Split) -> list[tuple[int, npt.NDArray[np.int64]]]:
        return [(number, pack.rows(split)) for number, pack in enumerate(self.packs)]

    def _load(self, rows: npt.NDArray[np.int64]) -> FaceBatch:
        images = np.stack([self.packs[p].images[i] for p, i in rows.tolist()])
        landmarks = np.stack([self.packs[p].landmarks[i] for p, i in rows.tolist()])
        return self._to_batch(self._carry(images), self._carry(landmarks), rows)

    def _to_batch(
        self, images: Tensor, landmarks: Tensor, rows: npt.NDArray[np.int64]
    ) -> FaceBatch:
        """(N, 128, 128, 3) uint8 -> (N, 3, 128, 128) in [0, 1]."""
        ids = torch.from_numpy(self._first_ids[rows[:, 0]] + rows[:, 1])
        pixels = (images.permute(0, 3, 1, 2).float() / 255).contiguous()
        return FaceBatch(pixels, landmarks, ids)

    def _carry(self, array: npt.NDArray[np.generic]) -> Tensor:
        """To the device; from pinned memory, so that nobody waits for the copy."""
        tensor = torch.from_numpy(array)
        if self._device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self._device, non_blocking=True)

    def _is_resident(self, choice: Literal["auto", "device", "host"]) -> bool:
        if choice != "auto" or self._device.type != "cuda":
            return choice == "device"
        one = self.packs[0].images[0].nbytes + self.packs[0].landmarks[0].nbytes
        free, _ = torch.cuda.mem_get_info(self._device)
        fits: bool = len(self._train) * one <= _MAX_SHARE_OF_FREE_MEMORY * free
        return fits

    def _load_resident(self) -> tuple[Tensor, Tensor]:
        """(M, 128, 128, 3) uint8 and (M, 478, 3) of all faces to learn from, on the device."""
        images, landmarks = [], []
        try:
            for pack in self.packs:
                rows = pack.rows("train")
                images.append(self._carry(pack.images[rows]))
                landmarks.append(self._carry(pack.landmarks[rows]))
            return torch.cat(images), torch.cat(landmarks)
        except torch.OutOfMemoryError as error:
            raise DataError(
                f"{self._device} has no room for {len(self._train)} faces; set "
                'data.resident = "host"'
            ) from error
