"""Stand-ins at the service's seams: an engine that computes nothing, a clock that one turns."""

import threading
from collections.abc import Callable, Sequence

import numpy as np

from model_store.image_tensor import RgbImage
from service.engine.base import ServedModel, UpscaledImage
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


class NearestEngine:
    """Repeats pixels; fails where it is told to.

    Attributes:
        batches: the images of every call, in order.
        may_run: cleared, it stops `upscale` in its tracks until it is set again.
        is_running: set while a call is inside `upscale`.
        before_batch: called with each batch's images; what it raises fails the batch.
        is_poisoned: says which images fail alone, inside a batch that succeeds.
    """

    def __init__(self, models: Sequence[ServedModel] | None = None) -> None:
        self.models = models or (served_model(scale=4), served_model(scale=8, lr_size_px=16))
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
        self.is_running.set()
        try:
            if not self.may_run.wait(timeout=10):
                raise TimeoutError("a test held the engine and never let it go")
            self.batches.append(list(images))
            self.before_batch(images)
            model = next(m for m in self.models if m.reference == reference)
            return [self._upscale_one(image, model) for image in images]
        finally:
            self.is_running.clear()

    def close(self) -> None:
        self.is_closed = True

    def _upscale_one(self, image: RgbImage, model: ServedModel) -> UpscaledImage | ServiceError:
        if self.is_poisoned(image):
            return ItemFailedError("this image is poisoned")
        height, width = image.shape[:2]
        placement = GridPlacement(
            width=width, height=height, grid_px=model.lr_size_px, scale=model.scale
        )
        left, top, right, bottom = placement.output_box
        rows = np.arange(bottom - top) * height // (bottom - top)
        columns = np.arange(right - left) * width // (right - left)
        return UpscaledImage(
            rgb=np.ascontiguousarray(image[rows][:, columns]),
            resampling=placement.resampling,
            landmark_source="landmarker",
            landmark_confidence=0.9,
        )
