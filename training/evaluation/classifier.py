"""Measuring a classifier of expressions: how often it is right, and whether its probabilities hold.

On the slice "test" of expression packs, on crops as they are and reduced to 64 and 32 px. Expected
calibration error: 15 equal bins of the highest probability (Guo et al. 2017).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model_store.architectures import ClassifierConfig
from model_store.emotion.classifier import CROP_PX, EMOTIONS, EmotionClassifier
from training.config import PublishConfig
from training.data.expressions.augmentation import reduce_and_enlarge
from training.data.expressions.pack import ExpressionPack, open_expression_pack
from training.errors import DataError
from training.evaluation.comparison import Comparison, ModelResult, compare_results, result_of
from training.evaluation.measures.measure import Column
from training.evaluation.models import ModelDescription, Opened, describe_network
from training.quality import (
    Confusion,
    Statistic,
    Values,
    calibration_error,
    confusion_matrix,
    macro_f1,
    mean_class_accuracy,
)

SIDES_PX = (CROP_PX, 64, 32)
NUM_CALIBRATION_BINS = 15
CONFUSION_COLUMN = "mean_class_accuracy"
"""With a side behind it; its values are (N, 2): the true class and the one that was told."""

_BATCH_SIZE = 100


@dataclass(frozen=True)
class ExpressionSet:
    """The faces of a pack's slice "test".

    Attributes:
        name: Name of the pack.
        digest: Digest of the pack's checksums.
        images: (N, 112, 112, 3) uint8 RGB.
        labels: (N,) indices in EMOTIONS.
    """

    name: str
    digest: str
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


class ClassifierKind:
    """Classifiers of expressions, as evaluation and publishing know them."""

    does = "tells expressions apart"
    architectures = frozenset(kind.architecture for kind in get_args(ClassifierConfig))
    gate_columns = tuple(
        f"{measure}_{side}px"
        for side in SIDES_PX
        for measure in ("accuracy", "mean_class_accuracy", "calibration_error")
    )

    def compare(
        self,
        networks: Mapping[str, Opened],
        *,
        packs: Path,
        tests: Sequence[str],
        max_faces: int | None = None,
        against: str | None = None,
    ) -> Comparison:
        """Measure them on the slice "test" of expression packs, which no run learns from."""
        sets = [
            read_expression_set(open_expression_pack(packs / name, verify=True), max_faces)
            for name in tests
        ]
        results = []
        for name, opened in networks.items():
            assert isinstance(opened.network, EmotionClassifier)
            results.append(measure_classifier(describe_network(name, opened), opened.network, sets))
        return compare_results(results, sets, columns=CLASSIFIER_COLUMNS, against=against)

    def shortfalls(self, result: ModelResult, thresholds: PublishConfig) -> Iterator[str]:
        """Its accuracies and its calibration, on the first test pack's crops as they are."""
        name, estimates = next(iter(result.estimates.items()))
        for measure, least in (
            ("accuracy", thresholds.minimum_accuracy),
            ("mean_class_accuracy", thresholds.minimum_mean_class_accuracy),
        ):
            share = estimates[f"{measure}_{CROP_PX}px"].mean
            if not share >= least:
                yield f"{measure} on {name} is {share:.4f}; publish.minimum_{measure} is {least}"
        error = estimates[f"calibration_error_{CROP_PX}px"].mean
        highest = thresholds.maximum_calibration_error
        if not error <= highest:
            yield (
                f"calibration_error on {name} is {error:.4f}; publish.maximum_calibration_error is "
                f"{highest}"
            )


def read_expression_set(pack: ExpressionPack, max_faces: int | None = None) -> ExpressionSet:
    """Read the slice "test" of a pack, at most ``max_faces`` of it, spread evenly.

    Raises:
        DataError: the pack has no such slice.
    """
    rows = pack.rows("test")
    if not len(rows):
        raise DataError(
            f"{pack.name} has no slice to test on; prepare the set again with --slice test"
        )
    keep = len(rows) if max_faces is None else min(len(rows), max_faces)
    chosen = rows[np.linspace(0, len(rows) - 1, keep).round().astype(np.int64)]
    return ExpressionSet(pack.name, pack.digest, np.array(pack.images[chosen]), pack.labels[chosen])


def measure_classifier(
    description: ModelDescription, network: EmotionClassifier, sets: Sequence[ExpressionSet]
) -> ModelResult:
    """Measure a classifier in eval mode on all faces of some sets."""
    values = {faces.name: _values(network, faces) for faces in sets}
    return result_of(description, values, CLASSIFIER_COLUMNS)


def _values(network: EmotionClassifier, faces: ExpressionSet) -> Mapping[str, Values]:
    values: dict[str, Values] = {}
    labels = torch.from_numpy(faces.labels)
    for side in SIDES_PX:
        logs = _read(network, faces, side_px=side).double().log()
        told = logs.argmax(1)
        is_right = told == labels
        # The temperature taken back: what the probabilities were before they were calibrated.
        plain = (logs * network.temperature.double().cpu()).softmax(1)
        pairs = torch.stack([labels, told], 1)
        of_side = {
            "accuracy": is_right,
            CONFUSION_COLUMN: pairs,
            "macro_f1": pairs,
            "cross_entropy": -logs[torch.arange(len(labels)), labels],
            "calibration_error": torch.stack([logs.exp().amax(1), is_right], 1),
            "uncalibrated_error": torch.stack([plain.amax(1), is_right], 1),
        }
        values |= {f"{name}_{side}px": value.double().numpy() for name, value in of_side.items()}
    return values


def _read(network: EmotionClassifier, faces: ExpressionSet, *, side_px: int) -> Tensor:
    """(N, 7) probabilities, as the service gives them."""
    batches = []
    for start in range(0, len(faces), _BATCH_SIZE):
        pixels = torch.from_numpy(faces.images[start : start + _BATCH_SIZE])
        crops = reduce_and_enlarge(pixels.permute(0, 3, 1, 2).float() / 255, side_px=side_px)
        with torch.inference_mode():
            batches.append(network.probabilities(crops))
    return torch.cat(batches)


def confusion_of(pairs: Values) -> Confusion:
    """The confusion matrix of a confusion column's values."""
    truth, told = pairs.astype(np.int64).T
    return confusion_matrix(truth, told, num_classes=len(EMOTIONS))


def _mean_class_accuracy(pairs: Values) -> float:
    return mean_class_accuracy(confusion_of(pairs))


def _macro_f1(pairs: Values) -> float:
    return macro_f1(confusion_of(pairs))


def _calibration(rows: Values) -> float:
    """Calibration error of (N, 2): confidence, whether right."""
    confidence, is_right = torch.from_numpy(rows).T
    return calibration_error(confidence, is_right.bool(), num_bins=NUM_CALIBRATION_BINS)


def _columns_of(side: int) -> tuple[Column, ...]:
    basis = "crops as they are" if side == CROP_PX else f"crops reduced to {side} px"
    described: tuple[tuple[str, str, bool, Statistic | None], ...] = (
        ("accuracy", "Accuracy", True, None),
        (CONFUSION_COLUMN, "Mean class accuracy", True, _mean_class_accuracy),
        ("macro_f1", "Macro F1", True, _macro_f1),
        ("cross_entropy", "Cross-entropy, nats", False, None),
        ("calibration_error", "Expected calibration error", False, _calibration),
        ("uncalibrated_error", "The same without temperature", False, _calibration),
    )
    return tuple(
        Column(
            f"{name}_{side}px",
            title,
            basis,
            higher_is_better=is_better,
            decimals=4,
            statistic=statistic,
        )
        for name, title, is_better, statistic in described
    )


CLASSIFIER_COLUMNS = tuple(column for side in SIDES_PX for column in _columns_of(side))
