"""Faces for training and validation, drawn from packs as a pure function of seed and step."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.config import DataConfig
from training.data.draws import BatchDraws
from training.data.pack import FacePack, Split, open_pack
from training.errors import DataError


@dataclass(frozen=True)
class FaceBatch:
    """Faces with their teacher landmarks.

    Attributes:
        images: (N, 3, 128, 128) float RGB in [0, 1].
        landmarks: (N, 478, 3); x, y in [0, 1] of the image, z on x's scale.
        ids: (N,) int64, on the CPU: each face's number among all of the dataset.
    """

    images: Tensor
    landmarks: Tensor
    ids: Tensor

    def __len__(self) -> int:
        return len(self.images)


class FaceDataset:
    """The faces of several packs, with the slice cut off for validation.

    Raises:
        DataError: a pack is missing or damaged, or no face is left for training or validation.
    """

    def __init__(self, config: DataConfig, *, root: Path) -> None:
        self.packs: Sequence[FacePack] = tuple(open_pack(root / name) for name in config.packs)
        sizes = [len(pack.records) for pack in self.packs]
        self._first_ids = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
        self._train = self._rows("train")
        validation = self._rows("validation")
        if len(self._train) == 0 or len(validation) == 0:
            raise DataError(
                f"packs {', '.join(config.packs)} leave {len(self._train)} faces for training and "
                f"{len(validation)} for validation; each needs at least one"
            )
        keep = min(len(validation), config.max_validation_faces)
        spread = np.linspace(0, len(validation) - 1, keep).round().astype(np.int64)
        self._validation = validation[spread]
        sharpness = [self.packs[p].records[i].sharpness for p, i in self._train.tolist()]
        weights = torch.tensor(sharpness, dtype=torch.float64) + 1e-3
        self._weights = weights**config.sharpness_exponent

    @property
    def num_train_faces(self) -> int:
        """Faces to learn from."""
        return len(self._train)

    def train_batch(self, draws: BatchDraws) -> FaceBatch:
        """Draw a batch with replacement, sharper faces more often, before augmentation."""
        drawn = torch.multinomial(
            self._weights, draws.batch_size, replacement=True, generator=draws.generator
        )
        return self._load(self._train[drawn[draws.rows].numpy()])

    def validation_batches(self, *, batch_size: int) -> list[FaceBatch]:
        """Return the validation slice, unchanged, in a fixed order."""
        rows = self._validation
        return [self._load(rows[i : i + batch_size]) for i in range(0, len(rows), batch_size)]

    def train_landmarks(self) -> npt.NDArray[np.float32]:
        """Return the (N, 478, 3) teacher landmarks of all faces to learn from."""
        return np.stack([self.packs[p].landmarks[i] for p, i in self._train.tolist()])

    def _rows(self, split: Split) -> npt.NDArray[np.int64]:
        """(R, 2): pack number and row within the pack."""
        rows = [np.stack([np.full(len(r), p), r], 1) for p, r in self._enumerate_rows(split)]
        return np.concatenate(rows) if rows else np.zeros((0, 2), dtype=np.int64)

    def _enumerate_rows(self, split: Split) -> list[tuple[int, npt.NDArray[np.int64]]]:
        return [(number, pack.rows(split)) for number, pack in enumerate(self.packs)]

    def _load(self, rows: npt.NDArray[np.int64]) -> FaceBatch:
        images = np.stack([self.packs[p].images[i] for p, i in rows.tolist()])
        landmarks = np.stack([self.packs[p].landmarks[i] for p, i in rows.tolist()])
        tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        ids = torch.from_numpy(self._first_ids[rows[:, 0]] + rows[:, 1])
        return FaceBatch(tensor.contiguous(), torch.from_numpy(landmarks), ids)
