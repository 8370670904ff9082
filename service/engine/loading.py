"""Which engine computes: the fastest that device and settings allow and that is accurate."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from model_store.bfloat16 import why_not_bfloat16
from model_store.faces.detector import FaceDetector
from model_store.landmarks.fallback import LandmarkPredictor
from model_store.landmarks.mediapipe_mesh import MediaPipeMesh
from model_store.store import DEFAULT_ROOT, ModelStore
from service.engine.accuracy import check_accuracy
from service.engine.base import EngineName
from service.engine.cuda_engine import cuda_engine
from service.engine.device_engine import DeviceEngine
from service.engine.devices import devices_of, missing_driver
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
from service.engine.reference import Reference
from service.engine.torch_engine import torch_engine
from service.errors import (
    DeviceLostError,
    DeviceMemoryError,
    EngineUnavailableError,
    StartupError,
)
from service.settings import Settings

logger = logging.getLogger(__name__)


def open_store(settings: Settings) -> ModelStore:
    """The store that the settings name, or the one that comes along with the package."""
    return ModelStore(settings.model_root or DEFAULT_ROOT)


def load_engine(
    store: ModelStore,
    settings: Settings,
    *,
    on_landmarks: Callable[[float], None] = lambda seconds: None,
) -> DeviceEngine:
    """Load every model that the settings name onto the best engine that can be had.

    An engine that cannot be had, or is further from the reference than `accuracy` allows, is passed
    over with a word in the log; so is a GPU that nobody insists on, if it is too small or fails.
    Sets torch's number of threads for the calling thread, so call it on the engine's own.

    Raises:
        ModelStoreError: a model is half-written or not what was published.
        StartupError: a model, the device, MediaPipe or the engine that the settings insist on is
            not there, or a model is of another kind.
    """
    # Weights are many small tensors, which threads would share by waiting for each other.
    torch.set_num_threads(1)
    # A GPU would round what convolutions in float32 multiply to 10 bits: the reference's, and those
    # by which expressions are read, which are to be those of other machines.
    torch.backends.cudnn.allow_tf32 = False
    passed_over = missing_driver(settings)
    for device in devices_of(settings):
        engine = _load_on(device, store, settings, on_landmarks, passed_over)
        if engine is not None:
            return engine
    reasons = "; ".join(f"{title}: {reason}" for title, reason in passed_over.items())
    remedy = (
        "set it to auto for the next best one"
        if settings.engine != "auto"
        else "set AFFECTSR_DEVICE to auto for the next best one"
    )
    raise StartupError(
        f"AFFECTSR_ENGINE is {settings.engine} and cannot be had ({reasons}); {remedy}"
    )


def _load_on(
    device: torch.device,
    store: ModelStore,
    settings: Settings,
    on_landmarks: Callable[[float], None],
    passed_over: dict[str, str],
) -> DeviceEngine | None:
    """Load the best engine of one device, None if there is none; says why in `passed_over`."""
    is_gpu = device.type == "cuda"
    failures: tuple[type[Exception], ...] = (EngineUnavailableError,)
    if is_gpu:
        failures = (StartupError, DeviceMemoryError, DeviceLostError)

    def pass_over(title: str, error: Exception) -> None:
        passed_over[title] = str(error)
        logger.warning("engine %s is passed over: %s", title, error)

    try:
        models = load_models(store, settings, device)
    except EngineUnavailableError as error:
        if not is_gpu:
            raise
        pass_over(str(device), error)
        return None
    workshop = _Workshop(models, settings, device, _finder_opener(settings, models, on_landmarks))
    reference = workshop.reference()
    for candidate in _candidates(settings, device):
        # OpenVINO has threads of its own; torch's would wait for each other at the little that is
        # left to torch.
        torch.set_num_threads(1 if candidate.name == "openvino" else num_threads(settings))
        try:
            engine = workshop.build(candidate, passed_over)
            if not candidate.is_reference:
                check_accuracy(engine, reference.engine, expected_of=reference.expected)
            if is_gpu:
                # It may hold the models and not their batches, or lack the kernels for them.
                engine.warm_up()
        except failures as error:
            pass_over(candidate.title_on(device), error)
        else:
            logger.info("engine %s on %s", candidate.title, device)
            return engine
    return None


def num_threads(settings: Settings) -> int:
    """Threads that compute a batch."""
    return settings.torch_num_threads or available_cores()


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

    def title_on(self, device: torch.device) -> str:
        """As it is told: PyTorch may have been tried on a GPU, and compute on the CPU."""
        is_plain = device.type == "cpu" or self.name == "cuda"
        return self.title if is_plain else f"{self.title} on {device}"

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

    def reference(self) -> Reference:
        """PyTorch in float32."""
        classifier = self._models.classifier
        digests = [
            *(model.weights_sha256 for model, _ in self._models.upscalers),
            self._models.landmarker_sha256,
            "" if classifier is None else classifier[0].weights_sha256,
        ]
        settings = (self._settings.landmarks, self._settings.min_landmark_confidence)
        return Reference(
            self._torch("float32", {}),
            # A GPU's results are not those of a CPU, and computed at once.
            cache=self._cache() if self._device.type == "cpu" else None,
            depends_on=f"{digests} {settings}",
            num_threads=num_threads(self._settings),
        )

    def build(self, candidate: _Candidate, passed_over: Mapping[str, str]) -> DeviceEngine:
        """Build an engine.

        Raises:
            EngineUnavailableError: it cannot be had here.
        """
        if candidate.name == "cuda":
            return self._cuda(passed_over)
        is_choice = candidate.dtype == "bfloat16" and self._settings.cpu_dtype == "auto"
        if is_choice and (reason := why_not_bfloat16()):
            raise EngineUnavailableError(reason)
        if candidate.name == "openvino":
            return self._openvino(candidate.dtype, passed_over)
        return self._torch(candidate.dtype, passed_over)

    def _openvino(self, dtype: Dtype, passed_over: Mapping[str, str]) -> DeviceEngine:
        return openvino_engine(
            self._models,
            OpenVinoRuntime(
                num_threads=num_threads(self._settings),
                cache=self._cache(),
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
        self._add_face_finder(engine, is_reduced=dtype == "bfloat16" and why_not_bfloat16() is None)
        return engine

    def _add_face_finder(self, engine: DeviceEngine, *, is_reduced: bool) -> None:
        """PyTorch's."""
        if self._models.detector is not None:
            served, network = self._models.detector
            detector = FaceDetector(network.look_at, self._models.landmarker)
            engine.add_face_finder(
                FaceFinder(served, detector, self._device, is_reduced=is_reduced)
            )

    def _cache(self) -> GraphCache | None:
        folder = self._settings.engine_cache_dir
        return None if folder is None else GraphCache(folder)

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
