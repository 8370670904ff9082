"""How well the expression was kept: what a classifier reads in a model's image and in the original.

The metric (ECM) belongs to a set and is undefined where nothing differs; agreement and the entropy
difference are of each face. All are comparable under one classifier only, which the basis names.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model_store.emotion.classifier import EMOTIONS
from model_store.emotion.ecm import Probabilities, emotion_consistency, pair_measures
from model_store.emotion.ecm.bootstrap import resampled_ecm
from model_store.emotion.reader import EmotionReadings
from model_store.image_tensor import RgbImage, images_to_tensor
from training.evaluation.faces import FaceSet
from training.evaluation.measures.measure import Column
from training.quality import Values

ECM_COLUMN = "ecm"
"""Its values are (N, 14): what is read in the original, then what in the model's image."""

_BATCH_SIZE = 50


class ExpressionReader(Protocol):
    """Reads the expressions of faces, each aligned by its own landmarks."""

    def read(self, images: Tensor) -> EmotionReadings:
        """Read (N, 3, 128, 128) images in [0, 1]."""


class ExpressionConsistency:
    """ECM, agreement of the likeliest expression, and |dH|.

    Originals are read once for all models. Where no landmarks are found the mean face aligns the
    crop; such pairs count like the others, and a column says how many they are.
    """

    def __init__(self, reader: ExpressionReader, *, classifier: str) -> None:
        self._reader = reader
        self._originals: dict[tuple[str, tuple[str, ...]], _Readings] = {}
        basis = f"read by {classifier}"
        self.columns: tuple[Column, ...] = (
            Column(
                ECM_COLUMN,
                "ECM",
                basis,
                higher_is_better=False,
                decimals=3,
                statistic=_ecm,
                resampler=_resampled,
            ),
            Column(
                "expression_agreement",
                "Likeliest expression kept, share",
                basis,
                higher_is_better=True,
                decimals=3,
            ),
            Column(
                "entropy_difference",
                "|dH| of the expression, nats",
                basis,
                higher_is_better=False,
                decimals=4,
            ),
            Column(
                "expression_fallback",
                "Pairs aligned by the mean face, share",
                basis,
                higher_is_better=None,
                decimals=3,
            ),
        )

    def measure(self, images: Sequence[RgbImage], faces: FaceSet) -> Mapping[str, Values]:
        original = self._read_originals(faces)
        ours = _read(self._reader, images)
        pairs = pair_measures(original.probabilities, ours.probabilities)
        return {
            ECM_COLUMN: np.concatenate([original.probabilities, ours.probabilities], axis=1),
            "expression_agreement": pairs.top1_agrees.astype(np.float64),
            "entropy_difference": pairs.entropy_difference,
            "expression_fallback": (original.is_fallback | ours.is_fallback).astype(np.float64),
        }

    def _read_originals(self, faces: FaceSet) -> "_Readings":
        key = faces.digest, faces.stems
        if key not in self._originals:
            self._originals[key] = _read(self._reader, faces.originals)
        return self._originals[key]


@dataclass(frozen=True)
class _Readings:
    probabilities: Probabilities
    is_fallback: npt.NDArray[np.bool_]


def read_pairs(values: Values) -> tuple[Probabilities, Probabilities]:
    """The two sides of the ECM column's values: of the originals, of a model's images."""
    return values[:, : len(EMOTIONS)], values[:, len(EMOTIONS) :]


def _read(reader: ExpressionReader, images: Sequence[RgbImage]) -> _Readings:
    with torch.inference_mode():
        batches = [
            reader.read(images_to_tensor(images[start : start + _BATCH_SIZE]))
            for start in range(0, len(images), _BATCH_SIZE)
        ]
    return _Readings(
        np.concatenate([batch.probabilities.double().numpy() for batch in batches]),
        np.concatenate([batch.is_fallback.numpy() for batch in batches]),
    )


def _ecm(values: Values) -> float:
    metric = emotion_consistency(*read_pairs(values)).ecm
    return math.nan if metric is None else metric


def _resampled(values: Values, picks: npt.NDArray[np.int64]) -> Values:
    return resampled_ecm(*read_pairs(values), picks)
