"""Reading expressions on the device: landmarks, alignment, classifier, each once for a batch."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from model_store.emotion.alignment import align_expression_crops
from model_store.image_tensor import RgbImage
from model_store.landmarks.fallback import LandmarkPredictor, choose_landmarks
from model_store.landmarks.landmarker import Landmarker
from service.engine.base import EmotionReading, ServedVersion
from service.engine.grid import to_square
from service.errors import ItemFailedError, ServiceError


class ExpressionClassifier(Protocol):
    """The classifier, whoever computes it."""

    def probabilities(self, crops: Tensor) -> Tensor:
        """Classify (N, 3, 112, 112) RGB crops in [0, 1]: (N, 7) float32 rows that sum to 1."""
        ...


class ExpressionReader:
    """A classifier with the landmarker that aligns for it.

    It computes in float32 on every device: probabilities of two machines are to be comparable.
    """

    def __init__(
        self,
        served: ServedVersion,
        classifier: ExpressionClassifier,
        landmarker: LandmarkPredictor,
        *,
        min_confidence: float,
        device: torch.device,
    ) -> None:
        self.served = served
        self._classifier = classifier
        self._landmarker = landmarker
        self._min_confidence = min_confidence
        self._device = device

    @torch.inference_mode()
    def read(self, images: Sequence[RgbImage]) -> list[EmotionReading | ServiceError]:
        """See `Engine.read_emotions`."""
        squares = [to_square(image, device=self._device) for image in images]
        # (N, 3, 32, 32)
        grid = torch.cat([Landmarker.to_grid(square) for square in squares])
        chosen = choose_landmarks(self._landmarker, grid, min_confidence=self._min_confidence)
        crops = torch.cat(
            [
                align_expression_crops(square, landmarks[None])
                for square, landmarks in zip(squares, chosen.landmarks, strict=True)
            ]
        )
        probabilities = self._classifier.probabilities(crops)
        rows = probabilities.double().cpu().numpy()
        is_finite = torch.isfinite(probabilities).all(1).tolist()
        landmarks, confidences = chosen.landmarks.cpu(), chosen.confidence.tolist()
        return [
            EmotionReading(
                probabilities=rows[index],
                landmarks=landmarks[index],
                landmark_confidence=confidences[index],
                is_fallback=is_fallback,
            )
            if is_finite[index]
            else ItemFailedError("the classifier gave no probabilities for this image")
            for index, is_fallback in enumerate(chosen.is_fallback.tolist())
        ]
