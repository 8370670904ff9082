"""Which engine computes: the fastest that device and settings allow and that is accurate."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from model_store.faces.detector import FaceDetector
from model_store.landmarks.fallback import LandmarkPredictor
from model_store.landmarks.mediapipe_mesh import MediaPipeMesh
from model_store.store import ModelStore
from service.engine.accuracy import check_accuracy
from service.engine.base import EngineName
from service.engine.cuda_engine import cuda_engine
from service.engine.device_engine import DeviceEngine
from service.engine.expression_reader import ExpressionReader
from service.engine.face_finder import FaceFinder
from service.engine.graph_cache import GraphCache
from service.engine.landmark_finders import (
    LandmarkerFinder,
    LandmarkFinder,
    MediaPipeFinder,
    TimedFinder,
)
from service.engine.loaded_models import LoadedModels, load_models
from service.engine.memory_limit import memory_limit_bytes
from service.engine.openvino_engine import openvino_engine
from service.engine.openvino_runtime import Dtype, OpenVinoRuntime
from service.engine.torch_engine import torch_engine
from service.errors import EngineUnavailableError, StartupError
from service.settings import Settings

logger = logging.getLogger(__name__)


def load_engine(
    store: ModelStore,
    settings: Settings,
    *,
    on_landmarks: Callable[[float], None] = lambda seconds: None,
) -> DeviceEngine:
    """Load every model that the settings name onto the best engine that can be had.

    An engine that cannot be had, or is further from the reference than `accuracy` allows, is passed
    over with a word in the log. Sets torch's number of threads for the calling thread, so call it
    on the engine's own.

    Raises:
        ModelStoreError: a model is half-written or not what was published.
        StartupError: a model, the device, MediaPipe or the engine that the settings insist on is
            not there, or a model is of another kind.
    """
    torch.set_num_threads(settings.torch_num_threads or available_cores())
    device = _find_device(settings)
    models = load_models(store, settings, device)
    workshop = _Workshop(models, settings, device, _finder_opener(settings, models, on_landmarks))
    reference = workshop.reference()
    passed_over = _missing_driver(settings)
    for candidate in _candidates(settings, device):
        try:
            engine = workshop.build(candidate, passed_over)
            if not candidate.is_reference:
                check_accuracy(engine, reference)
        except EngineUnavailableError as error:
            passed_over[candidate.title] = str(error)
            logger.warning("engine %s is passed over: %s", candidate.title, error)
            continue
        logger.info("engine %s on %s", candidate.title, device)
        if candidate.name == "openvino":
            # It has threads of its own; torch's would wait for each other at the little that is
            # left to torch.
            torch.set_num_threads(1)
        return engine
    reasons = "; ".join(f"{title}: {reason}" for title, reason in passed_over.items())
    raise StartupError(
        f"AFFECTSR_ENGINE is {settings.engine} and cannot be had ({reasons}); set it to auto for "
        "the next best one"
    )


def available_cores() -> int:
    """Cores that this process may run on, which a container may have narrowed."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class _Candidate:
    name: EngineName
    dtype: Dtype

    @property
    def title(self) -> str:
        return f"{self.name} in {self.dtype}"

    @property
    def is_reference(self) -> bool:
        return self.name == "torch" and self.dtype == "float32"


def _candidates(settings: Settings, device: torch.device) -> list[_Candidate]:
    """What to try, the fastest first."""
    if device.type == "cuda":
        both = [_Candidate("cuda", "bfloat16"), _Candidate("torch", "float32")]
        return [one for one in both if settings.engine in ("auto", one.name)]
    names: tuple[EngineName, ...] = (
        ("openvino", "torch") if settings.engine == "auto" else (settings.engine,)
    )
    dtypes: tuple[Dtype, ...] = (
        ("bfloat16", "float32") if settings.cpu_dtype == "auto" else (settings.cpu_dtype,)
    )
    return [_Candidate(name, dtype) for name in names for dtype in dtypes]


class _Workshop:
    """Builds engines from the same loaded models."""

    def __init__(
        self,
        models: LoadedModels,
        settings: Settings,
        device: torch.device,
        open_finder: Callable[[LandmarkPredictor], LandmarkFinder],
    ) -> None:
        self._models = models
        self._settings = settings
        self._device = device
        self._open_finder = open_finder

    def reference(self) -> DeviceEngine:
        """PyTorch in float32."""
        return self._torch("float32", {})

    def build(self, candidate: _Candidate, passed_over: Mapping[str, str]) -> DeviceEngine:
        """Build an engine.

        Raises:
            EngineUnavailableError: it cannot be had here.
        """
        if candidate.name == "openvino":
            return self._openvino(candidate.dtype, passed_over)
        if candidate.name == "cuda":
            return self._cuda(passed_over)
        is_emulated = candidate.dtype == "bfloat16" and not _has_bfloat16()
        if is_emulated and self._settings.cpu_dtype == "auto":
            raise EngineUnavailableError("this CPU does not compute in bfloat16")
        return self._torch(candidate.dtype, passed_over)

    def _openvino(self, dtype: Dtype, passed_over: Mapping[str, str]) -> DeviceEngine:
        folder = self._settings.engine_cache_dir
        return openvino_engine(
            self._models,
            OpenVinoRuntime(
                num_threads=self._settings.torch_num_threads or available_cores(),
                cache=None if folder is None else GraphCache(folder),
            ),
            self._open_finder,
            dtype=dtype,
            min_confidence=self._settings.min_landmark_confidence,
            passed_over=dict(passed_over),
            max_batch_size=self._settings.max_batch_size,
            memory_limit_bytes=memory_limit_bytes(),
        )

    def _cuda(self, passed_over: Mapping[str, str]) -> DeviceEngine:
        if self._settings.landmarks != "landmarker":
            raise EngineUnavailableError(
                "AFFECTSR_LANDMARKS is mediapipe, which computes on the host; CUDA graphs hold "
                "the landmarker"
            )
        engine = cuda_engine(
            self._models,
            self._reader(),
            device=self._device,
            min_confidence=self._settings.min_landmark_confidence,
            passed_over=dict(passed_over),
            max_batch_size=self._settings.max_batch_size,
            memory_limit_bytes=memory_limit_bytes(),
        )
        self._add_face_finder(engine, is_reduced=False)
        return engine

    def _torch(self, dtype: Dtype, passed_over: Mapping[str, str]) -> DeviceEngine:
        engine = torch_engine(
            self._models.upscalers,
            self._open_finder(self._models.landmarker),
            self._reader(),
            self._models.calibrations,
            device=self._device,
            cpu_dtype=torch.bfloat16 if dtype == "bfloat16" else torch.float32,
            passed_over=dict(passed_over),
            max_batch_size=self._settings.max_batch_size,
            memory_limit_bytes=memory_limit_bytes(),
        )
        self._add_face_finder(engine, is_reduced=dtype == "bfloat16" and _has_bfloat16())
        return engine

    def _add_face_finder(self, engine: DeviceEngine, *, is_reduced: bool) -> None:
        """PyTorch's."""
        if self._models.detector is not None:
            served, network = self._models.detector
            detector = FaceDetector(network, self._models.landmarker)
            engine.add_face_finder(
                FaceFinder(served, detector, self._device, is_reduced=is_reduced)
            )

    def _reader(self) -> ExpressionReader | None:
        """PyTorch's, in float32."""
        if self._models.classifier is None:
            return None
        served, classifier = self._models.classifier
        return ExpressionReader(
            served,
            classifier,
            self._models.landmarker,
            min_confidence=self._settings.min_landmark_confidence,
            device=self._device,
        )


def _find_device(settings: Settings) -> torch.device:
    name = settings.device
    if settings.engine == "openvino":
        if name.startswith("cuda"):
            raise StartupError(
                f"AFFECTSR_ENGINE is openvino and AFFECTSR_DEVICE is {name}; OpenVINO computes on "
                "the CPU here: set the device to auto or cpu, or the engine to auto"
            )
        return torch.device("cpu")
    if settings.engine == "cuda" and (name == "cpu" or not torch.cuda.is_available()):
        raise StartupError(
            f"AFFECTSR_ENGINE is cuda, AFFECTSR_DEVICE is {name} and PyTorch sees "
            f"{torch.cuda.device_count()} CUDA devices; set the engine to auto, or the device to "
            "auto and install a CUDA build of PyTorch and its driver"
        )
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise StartupError(
            f"AFFECTSR_DEVICE is {name} and PyTorch sees {torch.cuda.device_count()} CUDA devices; "
            "set it to auto or cpu, or install a CUDA build of PyTorch and its driver"
        )
    return device


def _missing_driver(settings: Settings) -> dict[str, str]:
    """What to tell where PyTorch is built for GPUs and finds none; a CPU's build expects none."""
    if settings.device != "auto" or torch.version.cuda is None or torch.cuda.is_available():
        return {}
    reason = (
        f"PyTorch is built for CUDA {torch.version.cuda} and finds no device; install the driver, "
        "or let the container have the GPU"
    )
    logger.warning("engine cuda is passed over: %s", reason)
    return {"cuda in bfloat16": reason}


def _has_bfloat16() -> bool:
    # Where it has to be emulated it is the slower one.
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))


def _finder_opener(
    settings: Settings, models: LoadedModels, on_landmarks: Callable[[float], None]
) -> Callable[[LandmarkPredictor], LandmarkFinder]:
    """How an engine gets its finder, from the landmarker as that engine computes it.

    Raises:
        StartupError: MediaPipe is asked for and not there.
    """
    if settings.landmarks == "landmarker":
        return lambda landmarker: TimedFinder(
            LandmarkerFinder(landmarker, min_confidence=settings.min_landmark_confidence),
            on_landmarks,
        )
    try:
        mesh = MediaPipeMesh()
    except ImportError as error:
        raise StartupError(
            "AFFECTSR_LANDMARKS is mediapipe, which is not installed; "
            'pip install "affectsr[mediapipe]", or set it to landmarker'
        ) from error
    mean_landmarks = models.landmarker.mean_landmarks
    # One for all engines: each costs memory that it never gives back.
    return lambda landmarker: TimedFinder(
        MediaPipeFinder(mesh, mean_landmarks=mean_landmarks), on_landmarks
    )
