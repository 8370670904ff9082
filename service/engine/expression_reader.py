"""Reading expressions on the device: landmarks, alignment, classifier, each once for a batch."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from model_store.emotion.alignment import align_expression_crops
from model_store.image_tensor import RgbImage
from model_store.landmarks.fallback import LandmarkPredictor, choose_landmarks
from model_store.landmarks.landmarker import Landmarker
from service.engine.base import EmotionReading, ServedVersion
from service.engine.grid import indices_by_shape, to_square
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
        squares = _BySize([to_square(image, device=self._device) for image in images])
        grid = squares.apply(Landmarker.to_grid)
        chosen = choose_landmarks(self._landmarker, grid, min_confidence=self._min_confidence)
        crops = squares.apply(align_expression_crops, chosen.landmarks)
        probabilities = self._classifier.probabilities(crops)
        rows = probabilities.double().cpu().numpy()
        is_finite = torch.isfinite(probabilities).all(1).tolist()
        landmarks, confidences = chosen.landmarks.cpu().numpy(), chosen.confidence.tolist()
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


class _BySize:
    """Images of several sizes, those of one size in one tensor: each call has its price.

    Args:
        squares: N of (1, 3, S, S), each of an S of its own.
    """

    def __init__(self, squares: Sequence[Tensor]) -> None:
        self._groups = [
            (torch.tensor(places), torch.cat([squares[index] for index in places]))
            for places in indices_by_shape(square.shape for square in squares)
        ]
        places = torch.cat([places for places, _ in self._groups])
        self._order = places.argsort()

    def apply(self, function: Callable[..., Tensor], *others: Tensor) -> Tensor:
        """Call it for each size with its rows of `others`; (N, ...) in the images' order."""
        results = [
            function(images, *(other[places] for other in others))
            for places, images in self._groups
        ]
        return torch.cat(results)[self._order] if len(results) > 1 else results[0]
