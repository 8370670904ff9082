"""Measuring a Landmarker: its error, whether it follows the mouth, whether its confidence holds.

Against the teacher's landmarks of the HR face, read from Pillow's bicubic LR images of 32 and 16
px; for the confidence as many pictures without a face as with one.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model_store.image_tensor import images_to_tensor, tensor_to_image
from model_store.landmarks.distance import normalised_mean_error
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from training.config import PublishConfig
from training.data.draws import step_generator
from training.data.faceless import make_faceless
from training.evaluation.comparison import (
    Comparison,
    ModelResult,
    compare_results,
    refuse_learnt,
    result_of,
)
from training.evaluation.faces import FaceSet, low_resolution, open_face_sets
from training.evaluation.measures.measure import Column
from training.evaluation.models import ModelDescription, Opened, describe_network
from training.quality import (
    RIGHT_WITHIN_NME,
    Values,
    calibration_error,
    mouth_opening,
)

LR_SIDES_PX = (32, 16)


class LandmarkerKind:
    """Landmarkers, as evaluation and publishing know them."""

    does = "finds landmarks"
    architectures = frozenset({LandmarkerConfig.architecture})
    gate_columns = tuple(
        f"{measure}_{side}px"
        for side in LR_SIDES_PX
        for measure in ("nme", "mouth_correlation", "confidence_ece")
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
        """Measure them on face packs, against the teacher's landmarks."""
        sets = open_face_sets(packs, tests, max_faces=max_faces)
        results = []
        for name, opened in networks.items():
            assert isinstance(opened.network, Landmarker)
            results.append(measure_landmarker(describe_network(name, opened), opened.network, sets))
        return compare_results(results, sets, columns=LANDMARKER_COLUMNS, against=against)

    def shortfalls(self, result: ModelResult, thresholds: PublishConfig) -> Iterator[str]:
        """Its landmark error, as the mean of the test packs."""
        for side in LR_SIDES_PX:
            error, highest = result.means[f"nme_{side}px"].mean, thresholds.maximum_nme
            if not error <= highest:
                yield f"nme_{side}px is {error:.4f}; publish.maximum_nme is {highest}"


def measure_landmarker(
    description: ModelDescription, network: Landmarker, sets: Sequence[FaceSet]
) -> ModelResult:
    """Measure a Landmarker in eval mode on all faces of some sets.

    Raises:
        DataError: it learnt from one of them.
    """
    refuse_learnt(description, sets)
    values = {faces.name: _values(network, faces) for faces in sets}
    return result_of(description, values, LANDMARKER_COLUMNS)


def _values(network: Landmarker, faces: FaceSet) -> Mapping[str, Values]:
    images = images_to_tensor(faces.originals)
    faceless = make_faceless(images, generator=step_generator(seed=0, step=0))
    values: dict[str, Tensor] = {}
    for side in LR_SIDES_PX:
        found, confidence = _find_landmarks(network, images, side_px=side)
        _, doubt = _find_landmarks(network, faceless, side_px=side)
        error = normalised_mean_error(found, faces.landmarks)
        opened = torch.stack([mouth_opening(found), mouth_opening(faces.landmarks)], 1)
        is_right = (error < RIGHT_WITHIN_NME).float()
        values |= {
            f"nme_{side}px": error,
            f"mouth_correlation_{side}px": opened,
            f"face_confidence_{side}px": confidence,
            f"faceless_confidence_{side}px": doubt,
            f"confidence_ece_{side}px": torch.stack([confidence, is_right, doubt], 1),
        }
    return {name: value.double().numpy() for name, value in values.items()}


def _find_landmarks(network: Landmarker, images: Tensor, *, side_px: int) -> tuple[Tensor, Tensor]:
    """Landmarks and confidence for (N, 3, 128, 128) images, read from their Pillow LR images."""
    lr = [low_resolution(tensor_to_image(image), side_px=side_px) for image in images]
    with torch.inference_mode():
        prediction = network(images_to_tensor(lr))
    return prediction.landmarks, prediction.confidence


def _correlation(pairs: Values) -> float:
    """Pearson correlation of (N, 2); NaN where one side does not vary."""
    if pairs.std(0).min() == 0:
        return float("nan")
    return float(np.corrcoef(pairs.T)[0, 1])


def _calibration(rows: Values) -> float:
    """Calibration error of (N, 3): confidence in a face, whether right, confidence without one."""
    confidence, is_right, doubt = torch.from_numpy(rows).T
    never = torch.zeros_like(doubt)
    return calibration_error(torch.cat([confidence, doubt]), torch.cat([is_right, never]).bool())


def _columns_of(side: int) -> tuple[Column, ...]:
    basis = f"{side} px, against MediaPipe's of the original"
    return (
        Column(f"nme_{side}px", "Landmark NME", basis, higher_is_better=False, decimals=4),
        Column(
            f"mouth_correlation_{side}px",
            "Correlation of mouth openings",
            basis,
            higher_is_better=True,
            decimals=4,
            statistic=_correlation,
        ),
        Column(
            f"face_confidence_{side}px",
            "Confidence in faces",
            f"{side} px",
            higher_is_better=None,
            decimals=4,
        ),
        Column(
            f"faceless_confidence_{side}px",
            "Confidence without a face",
            f"{side} px",
            higher_is_better=False,
            decimals=4,
        ),
        Column(
            f"confidence_ece_{side}px",
            "Calibration error of the confidence",
            f"{side} px, half of the pictures faceless",
            higher_is_better=False,
            decimals=4,
            statistic=_calibration,
        ),
    )


LANDMARKER_COLUMNS = tuple(column for side in LR_SIDES_PX for column in _columns_of(side))
