"""Labelled faces for training and validation, drawn as a pure function of seed and step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model_store.emotion.classifier import EMOTIONS
from training.config import ExpressionDataConfig
from training.data.draws import BatchDraws, step_generator
from training.data.expressions.pack import ExpressionPack, open_expression_pack
from training.data.pack import Split
from training.errors import DataError

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class ExpressionBatch:
    """Face crops with their labels, on one device.

    Attributes:
        images: (N, 3, 112, 112) float RGB in [0, 1].
        labels: (N,) int64, indices in EMOTIONS.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.images)


class ExpressionDataset:
    """The faces of several expression packs, with the slice that is held for validation.

    A pack's slice "test" is never touched.

    Raises:
        DataError: a pack is missing, damaged or of another kind, or there is an expression without
            a face to learn from, or no face for validation.
    """

    def __init__(
        self, config: ExpressionDataConfig, *, root: Path, device: torch.device = _CPU
    ) -> None:
        self.packs: Sequence[ExpressionPack] = tuple(
            open_expression_pack(root / name, verify=True) for name in config.packs
        )
        self._train = self._rows("train")
        validation = self._rows("validation")
        labels = self._labels(self._train)
        counts = np.bincount(labels, minlength=len(EMOTIONS))
        missing = [name for name, count in zip(EMOTIONS, counts, strict=True) if not count]
        if missing or not len(validation):
            raise DataError(
                f"packs {', '.join(config.packs)} leave {len(validation)} faces for validation and "
                f"none to learn {' and '.join(missing) or '-'} from; each needs at least one"
            )
        keep = min(len(validation), config.max_validation_faces)
        spread = np.linspace(0, len(validation) - 1, keep).round().astype(np.int64)
        # As many of both, the same ones whatever the run's seed.
        some = torch.randperm(len(self._train), generator=step_generator(seed=0, step=0))[:keep]
        self._held = {
            "validation": validation[spread],
            "train": self._train[some.sort().values.numpy()],
        }
        self._weights = torch.from_numpy(counts[labels] ** -config.class_exponent)
        self._device = device

    @property
    def num_train_faces(self) -> int:
        """Faces to learn from."""
        return len(self._train)

    def train_batch(self, draws: BatchDraws) -> ExpressionBatch:
        """Draw a batch with replacement, rare expressions more often, before augmentation.

        Of the batch, the faces at hand are returned, on the dataset's device.
        """
        drawn = torch.multinomial(
            self._weights, draws.batch_size, replacement=True, generator=draws.generator
        )
        return self._load(self._train[drawn[draws.rows].numpy()])

    def held_batches(
        self, split: Split, *, batch_size: int, limit: int | None = None
    ) -> Iterator[ExpressionBatch]:
        """Yield the faces to score on, unchanged and in a fixed order, at most ``limit`` batches.

        The validation slice, or as many faces at random of those to learn from.
        """
        rows = self._held[split]
        for start in range(0, len(rows), batch_size)[:limit]:
            yield self._load(rows[start : start + batch_size])

    def _rows(self, split: Split) -> npt.NDArray[np.int64]:
        """(R, 2): pack number and row within the pack."""
        return np.concatenate(
            [
                np.stack([np.full(len(rows), number), rows], 1)
                for number, rows in enumerate(pack.rows(split) for pack in self.packs)
            ]
        )

    def _labels(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.array([self.packs[p].labels[i] for p, i in rows.tolist()], dtype=np.int64)

    def _load(self, rows: npt.NDArray[np.int64]) -> ExpressionBatch:
        """(N, 112, 112, 3) uint8 -> (N, 3, 112, 112) in [0, 1]."""
        stacked = np.stack([self.packs[p].images[i] for p, i in rows.tolist()])
        pixels = torch.from_numpy(stacked).to(self._device).permute(0, 3, 1, 2)
        labels = torch.from_numpy(self._labels(rows)).to(self._device)
        return ExpressionBatch((pixels.float() / 255).contiguous(), labels)
