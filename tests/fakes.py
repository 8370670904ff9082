"""Stand-ins at the service's seams: an engine that computes nothing, a clock that one turns."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from model_store.emotion.classifier import EMOTIONS
from model_store.emotion.recoverability import AgreementCalibration
from model_store.faces.detector import Judgement
from model_store.image_tensor import RgbImage
from service.engine.base import (
    EmotionReading,
    EngineDescription,
    ServedModel,
    ServedVersion,
    TileProposals,
    UpscaledImage,
)
from service.engine.grid import GridPlacement
from service.errors import ItemFailedError, ServiceError


class ManualClock:
    """Seconds that pass only by `advance`."""

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


def served_model(*, scale: int = 4, lr_size_px: int = 32, version: str = "1") -> ServedModel:
    return ServedModel(
        name=f"affectsrnet-x{scale}",
        version=version,
        scale=scale,
        lr_size_px=lr_size_px,
        num_parameters=7,
        weights_sha256="0" * 64,
        licence="Apache-2.0",
        metrics={"psnr_gain_db": 3.5},
    )


def served_classifier(*, version: str = "1") -> ServedVersion:
    return ServedVersion(
        name="emotion-tiny",
        version=version,
        num_parameters=7,
        weights_sha256=version * 64,
        licence="Apache-2.0",
        metrics={"accuracy": 0.875},
    )


def served_detector() -> ServedVersion:
    return ServedVersion(
        name="face-detector",
        version="1",
        num_parameters=7,
        weights_sha256="d" * 64,
        licence="Apache-2.0",
        metrics={"photos/recall_16px": 1.0},
    )


def emotion_reading(
    *probabilities: float, confidence: float = 0.9, landmark_shift: float = 0.0
) -> EmotionReading:
    """A reading of some probabilities (the last ones 0), its landmarks a face moved sideways."""
    row = np.zeros(len(EMOTIONS))
    row[: len(probabilities)] = probabilities
    landmarks = np.full((478, 3), 0.5, np.float32)
    landmarks[33, 0], landmarks[263, 0] = 0.3, 0.7  # outer corners of the eyes
    landmarks[:, 0] += landmark_shift
    return EmotionReading(
        probabilities=row,
        landmarks=landmarks,
        landmark_confidence=confidence,
        is_fallback=confidence < 0.5,
    )


class NearestEngine:
    """Repeats pixels; reads expressions as it is told to, fails where it is told to.

    Attributes:
        batches: the images of every call, in order.
        may_run: cleared, it stops `upscale` in its tracks until it is set again.
        is_running: set while a call is inside `upscale`.
        before_batch: called with each batch's images; what it raises fails the batch.
        is_poisoned: says which images fail alone, inside a batch that succeeds.
        emotion_of: says what is read in an image.
        faces_in: says what is proposed in a tile; nothing at first.
        judgement_of: says what a crop of it is; a face at first.
        calibrations: by a model's reference, none at first.
    """

    def __init__(
        self,
        models: Sequence[ServedModel] | None = None,
        *,
        classifier: ServedVersion | None = None,
        detector: ServedVersion | None = None,
    ) -> None:
        self.description = EngineDescription(name="torch", device="cpu", dtype="float32")
        self.models = models or (served_model(scale=4), served_model(scale=8, lr_size_px=16))
        self.classifier = classifier
        self.detector = detector
        self.faces_in: Callable[[RgbImage], TileProposals | ServiceError] = lambda tile: (
            TileProposals(proposals=())
        )
        self.judgement_of: Callable[[RgbImage], Judgement | ServiceError] = lambda crop: Judgement(
            confidence=0.95, better_crop=np.array([[1.0, 0, 0], [0, 1, 0]])
        )
        self.calibrations: dict[str, AgreementCalibration] = {}
        self.emotion_of: Callable[[RgbImage], EmotionReading | ServiceError] = lambda image: (
            emotion_reading(1.0)
        )
        self.batches: list[list[RgbImage]] = []
        self.may_run = threading.Event()
        self.may_run.set()
        self.is_running = threading.Event()
        self.before_batch: Callable[[Sequence[RgbImage]], None] = lambda images: None
        self.is_poisoned: Callable[[RgbImage], bool] = lambda image: False
        self.is_warm = False
        self.is_closed = False

    def warm_up(self) -> None:
        self.is_warm = True

    def upscale(
        self, reference: str, images: Sequence[RgbImage]
    ) -> Sequence[UpscaledImage | ServiceError]:
        with self._running(images):
            model = next(m for m in self.models if m.reference == reference)
            return [self._upscale_one(image, model) for image in images]

    def read_emotions(self, images: Sequence[RgbImage]) -> Sequence[EmotionReading | ServiceError]:
        with self._running(images):
            return [self.emotion_of(image) for image in images]

    def propose_faces(self, tiles: Sequence[RgbImage]) -> Sequence[TileProposals | ServiceError]:
        with self._running(tiles):
            return [self.faces_in(tile) for tile in tiles]

    def judge_faces(self, crops: Sequence[RgbImage]) -> Sequence[Judgement | ServiceError]:
        with self._running(crops):
            return [self.judgement_of(crop) for crop in crops]

    def close(self) -> None:
        self.is_closed = True

    @contextmanager
    def _running(self, images: Sequence[RgbImage]) -> Iterator[None]:
        self.is_running.set()
        try:
            if not self.may_run.wait(timeout=10):
                raise TimeoutError("a test held the engine and never let it go")
            self.batches.append(list(images))
            self.before_batch(images)
            yield
        finally:
            self.is_running.clear()

    def _upscale_one(self, image: RgbImage, model: ServedModel) -> UpscaledImage | ServiceError:
        if self.is_poisoned(image):
            return ItemFailedError("this image is poisoned")
        height, width = image.shape[:2]
        placement = GridPlacement.of(image, model)
        left, top, right, bottom = placement.output_box
        rows = np.arange(bottom - top) * height // (bottom - top)
        columns = np.arange(right - left) * width // (right - left)
        return UpscaledImage(
            rgb=np.ascontiguousarray(image[rows][:, columns]),
            resampling=placement.resampling,
            landmark_source="landmarker",
            landmark_confidence=0.9,
        )
