"""Where a batch's landmarks come from: our landmarker with the batch, or MediaPipe face by face."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from model_store.errors import FaceNotFoundError
from model_store.image_tensor import tensor_to_image
from model_store.landmarks.fallback import LandmarkPredictor, choose_landmarks
from model_store.landmarks.mediapipe_mesh import MediaPipeMesh
from service.engine.base import LandmarkSource


@dataclass(frozen=True)
class FoundLandmarks:
    """Landmarks for N crops.

    Attributes:
        landmarks: (N, 478, 3) on the crops' device; the mean face where the source is "fallback".
        sources: N names.
        confidences: N values in [0, 1], None where the source gives none.
    """

    landmarks: Tensor
    sources: list[LandmarkSource]
    confidences: list[float | None]


class LandmarkFinder(Protocol):
    """Finds landmarks in low-resolution crops; never fails for want of a face."""

    def find(self, lr: Tensor) -> FoundLandmarks:
        """Find them in (N, 3, h, h) float RGB crops in [0, 1]."""
        ...

    def close(self) -> None: ...


class TimedFinder:
    """Another finder, whose seconds are told for each batch.

    They are those of the device too: every finder reads its confidences back from there.
    """

    def __init__(self, finder: LandmarkFinder, on_found: Callable[[float], None]) -> None:
        self._finder = finder
        self._on_found = on_found

    def find(self, lr: Tensor) -> FoundLandmarks:
        started_at = time.perf_counter()
        found = self._finder.find(lr)
        self._on_found(time.perf_counter() - started_at)
        return found

    def close(self) -> None:
        self._finder.close()


class LandmarkerFinder:
    """The landmarker, on the device and in one batch."""

    def __init__(self, landmarker: LandmarkPredictor, *, min_confidence: float) -> None:
        self._landmarker = landmarker
        self._min_confidence = min_confidence

    def find(self, lr: Tensor) -> FoundLandmarks:
        chosen = choose_landmarks(self._landmarker, lr, min_confidence=self._min_confidence)
        return FoundLandmarks(
            chosen.landmarks,
            ["fallback" if unsure else "landmarker" for unsure in chosen.is_fallback.tolist()],
            chosen.confidence.tolist(),
        )

    def close(self) -> None:
        """Nothing is held."""


class MediaPipeFinder:
    """The paper's way, for comparison: MediaPipe on each crop, 6 to 11 ms of one core a face."""

    def __init__(self, mesh: MediaPipeMesh, *, mean_landmarks: Tensor) -> None:
        self._mesh = mesh
        self._mean_landmarks = mean_landmarks

    def find(self, lr: Tensor) -> FoundLandmarks:
        sources: list[LandmarkSource] = []
        landmarks = []
        for crop in lr:
            try:
                landmarks.append(torch.from_numpy(self._mesh.detect(tensor_to_image(crop))))
                sources.append("mediapipe")
            except FaceNotFoundError:
                landmarks.append(self._mean_landmarks.cpu())
                sources.append("fallback")
        return FoundLandmarks(
            torch.stack(landmarks).to(lr.device), sources, [None for _ in sources]
        )

    def close(self) -> None:
        self._mesh.close()
