"""The engine, whoever computes: bring images to the grid, upscale, cut the results out, read."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import numpy as np
import torch

from model_store.emotion.recoverability import AgreementCalibration
from model_store.faces.detector import JUDGED_PX, Judgement
from model_store.faces.pyramid import LARGEST_TILE
from model_store.image_tensor import RgbImage
from service.engine.accuracy import check_batch
from service.engine.base import (
    EmotionReading,
    EngineDescription,
    ServedModel,
    ServedVersion,
    TileProposals,
    UpscaledImage,
)
from service.engine.device_faults import DeviceGuard
from service.engine.expression_reader import ExpressionReader
from service.engine.face_finder import FaceFinder
from service.engine.grid import GridPlacement, faces_on_grid
from service.engine.upscaling import BatchUpscaler, UpscaledBatch
from service.engine.warm_up import WarmUp, warming_sizes
from service.errors import ItemFailedError, ServiceError


class DeviceEngine:
    """Holds the models on the device; used by one thread at a time."""

    def __init__(
        self,
        upscalers: Sequence[tuple[ServedModel, BatchUpscaler]],
        reader: ExpressionReader | None = None,
        calibrations: Mapping[str, AgreementCalibration] = MappingProxyType({}),
        *,
        description: EngineDescription,
        max_batch_size: int = 1,
        memory_limit_bytes: int | None = None,
        rows_at_once: int | None = None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        """Take what computes.

        Args:
            upscalers: with their models.
            reader: of expressions; None for an engine without.
            calibrations: by the reference of the model whose results they are of.
            description: what it is.
            max_batch_size: the largest batch.
            memory_limit_bytes: that this process may use; None where no limit is known.
            rows_at_once: faces that are computed at once by upscalers whose larger batches are
                nothing but more of these; None for others.
            on_close: called at the end.
        """
        self._upscalers = {model.reference: (model, upscaler) for model, upscaler in upscalers}
        self._reader = reader
        self.calibrations = calibrations
        self.description = description
        self._device = torch.device(description.device)
        self._guard = DeviceGuard(self._device)
        self._max_batch_size = max_batch_size
        self._memory_limit_bytes = memory_limit_bytes
        self._rows_at_once = rows_at_once
        self._on_close = on_close
        self._face_finder: FaceFinder | None = None
        # By a network's reference; the first batch of a size takes longer than the next.
        self._sizes_run: defaultdict[str, set[int]] = defaultdict(set)

    @property
    def models(self) -> Sequence[ServedModel]:
        return [model for model, _ in self._upscalers.values()]

    @property
    def classifier(self) -> ServedVersion | None:
        return None if self._reader is None else self._reader.served

    @property
    def detector(self) -> ServedVersion | None:
        return None if self._face_finder is None else self._face_finder.served

    def add_face_finder(self, face_finder: FaceFinder) -> None:
        """Have faces found by it, on the device's one thread."""
        self._face_finder = face_finder

    def warm_up(self) -> None:
        """Run batches of 1, 4, 16, ... faces through every network, but of sizes that have run.

        Raises:
            StartupError: one of them does not fit the memory; the message says what to change.
            EngineUnavailableError: a face comes out otherwise in one of them than alone.
        """
        warm_up = WarmUp(self._memory_limit_bytes)
        sizes = warming_sizes(self._max_batch_size)
        for model in self.models:
            if self._has_run_all_rows(model.reference):
                continue
            warm_up.run(
                model.reference,
                self._not_run(model.reference, sizes),
                partial(check_batch, self, model.reference),
            )
        if self._reader is not None:
            # A readout takes two images for each that is upscaled.
            face = np.full((128, 128, 3), 128, dtype=np.uint8)
            reader = self._reader.served.reference
            warm_up.run(
                reader,
                self._not_run(reader, warming_sizes(2 * self._max_batch_size)),
                lambda size: self.read_emotions([face] * size),
            )

        if self._face_finder is not None:
            detector = self._face_finder.served.reference
            # As large as tiles of large photos are.
            width, height = LARGEST_TILE
            tile = np.full((height, width, 3), 128, dtype=np.uint8)
            warm_up.run(detector, [1], lambda size: self.propose_faces([tile] * size))
            crop = np.full((JUDGED_PX, JUDGED_PX, 3), 128, dtype=np.uint8)
            warm_up.run(detector, sizes, lambda size: self.judge_faces([crop] * size))

    def _has_run_all_rows(self, reference: str) -> bool:
        """Whether a larger batch would be nothing new."""
        sizes = self._sizes_run[reference]
        return self._rows_at_once is not None and 1 in sizes and max(sizes) >= self._rows_at_once

    def _not_run(self, reference: str, sizes: Sequence[int]) -> list[int]:
        return [size for size in sizes if size not in self._sizes_run[reference]]

    def upscale(
        self, reference: str, images: Sequence[RgbImage]
    ) -> Sequence[UpscaledImage | ServiceError]:
        upscaled = self._guard.call(lambda: self._upscale(reference, images))
        self._sizes_run[reference].add(len(images))
        return upscaled

    @torch.inference_mode()
    def _upscale(
        self, reference: str, images: Sequence[RgbImage]
    ) -> Sequence[UpscaledImage | ServiceError]:
        model, upscaler = self._upscalers[reference]
        batch = upscaler.upscale(faces_on_grid(images, grid_px=model.lr_size_px))
        return [
            _cut_out(batch, GridPlacement.of(image, model), index)
            if batch.is_finite[index]
            else ItemFailedError("the model gave values that are no colours for this image")
            for index, image in enumerate(images)
        ]

    def read_emotions(self, images: Sequence[RgbImage]) -> Sequence[EmotionReading | ServiceError]:
        reader = self._reader
        if reader is None:
            raise RuntimeError("this engine holds no classifier; see Engine.classifier")
        readings = self._guard.call(lambda: reader.read(images))
        self._sizes_run[reader.served.reference].add(len(images))
        return readings

    def propose_faces(self, tiles: Sequence[RgbImage]) -> Sequence[TileProposals | ServiceError]:
        finder = self._require_face_finder()
        return self._guard.call(lambda: finder.propose(tiles))

    def judge_faces(self, crops: Sequence[RgbImage]) -> Sequence[Judgement | ServiceError]:
        finder = self._require_face_finder()
        return self._guard.call(lambda: finder.judge(crops))

    def _require_face_finder(self) -> FaceFinder:
        if self._face_finder is None:
            raise RuntimeError("this engine holds no face detector; see Engine.detector")
        return self._face_finder

    @torch.inference_mode()
    def bare_run(self, reference: str, faces: Sequence[RgbImage]) -> Callable[[], object]:
        """See `BatchUpscaler.bare_run`; any images."""
        model, upscaler = self._upscalers[reference]
        return upscaler.bare_run(faces_on_grid(faces, grid_px=model.lr_size_px))

    def close(self) -> None:
        self._on_close()
        self._upscalers.clear()


def _cut_out(batch: UpscaledBatch, placement: GridPlacement, index: int) -> UpscaledImage:
    """The image's own part of its (S, S, 3) result."""
    left, top, right, bottom = placement.output_box
    return UpscaledImage(
        rgb=np.ascontiguousarray(batch.rgb[index, top:bottom, left:right]),
        resampling=placement.resampling,
        landmark_source=batch.sources[index],
        landmark_confidence=batch.confidences[index],
    )
