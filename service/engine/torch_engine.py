"""The engine on PyTorch, CPU or CUDA: resize, landmarks, network, round, all in one batch."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from model_store.architectures import Upscaler, needs_landmarks
from model_store.emotion.recoverability import AgreementCalibration
from model_store.image_tensor import (
    RgbImage,
    round_to_uint8_levels,
    tensor_to_image,
)
from model_store.landmarks.landmarker import Landmarker
from model_store.landmarks.mediapipe_mesh import MediaPipeMesh
from model_store.manifest import ModelManifest
from model_store.store import ModelStore
from service.engine.base import EmotionReading, ServedModel, ServedVersion, UpscaledImage
from service.engine.device_faults import DeviceGuard
from service.engine.expression_models import load_calibrations, load_expression_reader, load_named
from service.engine.expression_reader import ExpressionReader
from service.engine.grid import GridPlacement, bring_to_grid
from service.engine.landmark_finders import (
    FoundLandmarks,
    LandmarkerFinder,
    LandmarkFinder,
    MediaPipeFinder,
    TimedFinder,
)
from service.engine.memory_limit import memory_limit_bytes
from service.engine.warm_up import WarmUp, batch_sizes
from service.errors import ItemFailedError, ServiceError, StartupError
from service.settings import Settings

_CHANNELS_LAST_FROM_PX = 32


class TorchEngine:
    """Holds the networks on the device; used by one thread at a time."""

    def __init__(
        self,
        networks: Sequence[tuple[ServedModel, Upscaler]],
        finder: LandmarkFinder,
        reader: ExpressionReader | None = None,
        calibrations: Mapping[str, AgreementCalibration] = MappingProxyType({}),
        *,
        device: torch.device,
        cpu_dtype: torch.dtype = torch.float32,
        max_batch_size: int = 1,
        memory_limit_bytes: int | None = None,
    ) -> None:
        for model, network in networks:
            # The annotations of torch do not know this argument of `to`.
            network.to(memory_format=_memory_format(model, device))  # type: ignore[call-overload]
        self._networks = {model.reference: (model, network) for model, network in networks}
        self._finder = finder
        self._reader = reader
        self.calibrations = calibrations
        self._device = device
        self._guard = DeviceGuard(device)
        self._cpu_dtype = cpu_dtype
        self._max_batch_size = max_batch_size
        self._memory_limit_bytes = memory_limit_bytes

    @property
    def models(self) -> Sequence[ServedModel]:
        return [model for model, _ in self._networks.values()]

    @property
    def classifier(self) -> ServedVersion | None:
        return None if self._reader is None else self._reader.served

    def warm_up(self) -> None:
        """Run batches of 1, 2, 4, ... faces through every network.

        Raises:
            StartupError: one of them does not fit the memory; the message says what to change.
        """
        warm_up = WarmUp(self._memory_limit_bytes)
        sizes = batch_sizes(self._max_batch_size)
        for model in self.models:
            face = np.full((model.lr_size_px, model.lr_size_px, 3), 128, dtype=np.uint8)
            warm_up.run(model.reference, sizes, partial(self._upscale_copies, model, face))
        if self._reader is not None:
            # A readout takes two images for each that is upscaled.
            face = np.full((128, 128, 3), 128, dtype=np.uint8)
            warm_up.run(
                self._reader.served.reference,
                batch_sizes(2 * self._max_batch_size),
                lambda size: self.read_emotions([face] * size),
            )

    def _upscale_copies(self, model: ServedModel, face: RgbImage, num_copies: int) -> None:
        self.upscale(model.reference, [face] * num_copies)

    def upscale(
        self, reference: str, images: Sequence[RgbImage]
    ) -> Sequence[UpscaledImage | ServiceError]:
        return self._guard.call(lambda: self._upscale(reference, images))

    @torch.inference_mode()
    def _upscale(
        self, reference: str, images: Sequence[RgbImage]
    ) -> Sequence[UpscaledImage | ServiceError]:
        model, network = self._networks[reference]
        placements = [GridPlacement.of(image, model) for image in images]
        on_grid = [
            bring_to_grid(image, grid_px=model.lr_size_px, device=self._device) for image in images
        ]
        # (N, 3, grid, grid): as an 8-bit file of that size would hold it, as in training.
        lr = round_to_uint8_levels(torch.cat(on_grid))
        lr = lr.contiguous(memory_format=_memory_format(model, self._device))
        with self._autocast():
            found = self._finder.find(lr) if needs_landmarks(network.config) else None
            sr = (network(lr) if found is None else network(lr, found.landmarks)).float()
        is_finite = torch.isfinite(sr).flatten(1).all(1).tolist()
        return [
            _read_out(sr[index], placement, found, index)
            if is_finite[index]
            else ItemFailedError("the model gave values that are no colours for this image")
            for index, placement in enumerate(placements)
        ]

    def read_emotions(self, images: Sequence[RgbImage]) -> Sequence[EmotionReading | ServiceError]:
        reader = self._reader
        if reader is None:
            raise RuntimeError("this engine holds no classifier; see Engine.classifier")
        return self._guard.call(lambda: reader.read(images))

    def close(self) -> None:
        self._finder.close()
        self._networks.clear()

    def _autocast(self) -> AbstractContextManager[object]:
        if self._device.type != "cpu" or self._cpu_dtype == torch.float32:
            return nullcontext()
        return torch.autocast("cpu", dtype=self._cpu_dtype)


def load_torch_engine(
    store: ModelStore,
    settings: Settings,
    *,
    on_landmarks: Callable[[float], None] = lambda seconds: None,
) -> TorchEngine:
    """Load and verify every model that the settings name, onto the device that they name.

    Sets torch's number of threads for the calling thread, so call it on the engine's own.

    Raises:
        ModelStoreError: a model is half-written or not what was published.
        StartupError: a model, the device or MediaPipe is not there, or a model of another kind.
    """
    torch.set_num_threads(settings.torch_num_threads or available_cores())
    device = _find_device(settings.device)
    networks = [_load_upscaler(store, reference, device) for reference in settings.models]
    landmarker = _load_landmarker(store, settings.landmarker_model, device)
    reader = load_expression_reader(store, landmarker, settings, device)
    calibrations: Mapping[str, AgreementCalibration] = {}
    if reader is not None:
        calibrations = load_calibrations(store, [model for model, _ in networks], reader.served)
    return TorchEngine(
        networks,
        TimedFinder(_open_finder(landmarker, settings), on_landmarks),
        reader,
        calibrations,
        device=device,
        cpu_dtype=_find_cpu_dtype(settings.cpu_dtype),
        max_batch_size=settings.max_batch_size,
        memory_limit_bytes=memory_limit_bytes(),
    )


def available_cores() -> int:
    """Cores that this process may run on, which a container may have narrowed."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _find_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise StartupError(
            f"AFFECTSR_DEVICE is {name} and PyTorch sees {torch.cuda.device_count()} CUDA devices; "
            "set it to auto or cpu, or install a CUDA build of PyTorch and its driver"
        )
    return device


def _memory_format(model: ServedModel, device: torch.device) -> torch.memory_format:
    """The format in which the trunk is fastest.

    Channels last, but for small maps on a CPU, where a group norm over them outweighs what the
    convolutions gain: measured in bfloat16 on two cores, batches of 8, a face takes 31 ms in
    channels last and 16 ms without at 16 px, 29 ms and 35 ms at 32 px.
    """
    if device.type == "cpu" and model.lr_size_px < _CHANNELS_LAST_FROM_PX:
        return torch.contiguous_format
    return torch.channels_last


def _find_cpu_dtype(name: str) -> torch.dtype:
    # PSNR between the two is 58 dB and more (the gate is 50); where bfloat16 has to be emulated
    # it is the slower one.
    capabilities = torch.cpu.get_capabilities()
    is_native = any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))
    if name == "bfloat16" or (name == "auto" and is_native):
        return torch.bfloat16
    return torch.float32


def _load_upscaler(
    store: ModelStore, reference: str, device: torch.device
) -> tuple[ServedModel, Upscaler]:
    loaded = load_named(store, reference, device, variable="AFFECTSR_MODELS")
    if not isinstance(loaded.module, Upscaler):
        raise StartupError(
            f"AFFECTSR_MODELS names {reference}, whose architecture is "
            f"{loaded.manifest.architecture}; name models that upscale, such as affectsrnet-x4"
        )
    return _served(loaded.manifest, loaded.module), loaded.module


def _served(manifest: ModelManifest, network: Upscaler) -> ServedModel:
    return ServedModel(
        name=manifest.name,
        version=manifest.version,
        scale=network.config.scale,
        lr_size_px=network.config.lr_size_px,
        num_parameters=manifest.num_parameters,
        weights_sha256=manifest.weights_sha256,
        licence=manifest.licence,
        metrics=manifest.metrics,
    )


def _load_landmarker(store: ModelStore, reference: str, device: torch.device) -> Landmarker:
    loaded = load_named(store, reference, device, variable="AFFECTSR_LANDMARKER_MODEL")
    if not isinstance(loaded.module, Landmarker):
        raise StartupError(
            f"AFFECTSR_LANDMARKER_MODEL names {reference}, whose architecture is "
            f"{loaded.manifest.architecture}; name a landmarker"
        )
    return loaded.module


def _open_finder(landmarker: Landmarker, settings: Settings) -> LandmarkFinder:
    if settings.landmarks == "landmarker":
        return LandmarkerFinder(landmarker, min_confidence=settings.min_landmark_confidence)
    try:
        mesh = MediaPipeMesh()
    except ImportError as error:
        raise StartupError(
            "AFFECTSR_LANDMARKS is mediapipe, which is not installed; "
            'pip install "affectsr[mediapipe]", or set it to landmarker'
        ) from error
    return MediaPipeFinder(mesh, mean_landmarks=landmarker.mean_landmarks)


def _read_out(
    sr: Tensor, placement: GridPlacement, found: FoundLandmarks | None, index: int
) -> UpscaledImage:
    """(3, S, S) float -> the image's own part of it, (H, W, 3) uint8."""
    left, top, right, bottom = placement.output_box
    return UpscaledImage(
        rgb=tensor_to_image(sr[:, top:bottom, left:right]),
        resampling=placement.resampling,
        landmark_source="none" if found is None else found.sources[index],
        landmark_confidence=None if found is None else found.confidences[index],
    )
