"""The engine on OpenVINO: the same networks, computed on a CPU in about half of PyTorch's time."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model_store.architectures import Classifier, needs_landmarks
from model_store.emotion.classifier import CROP_PX
from model_store.landmarks.fallback import LandmarkPredictor
from model_store.landmarks.landmarker import Landmarker, LandmarkPrediction
from model_store.landmarks.topology import LANDMARK_COUNT
from service.engine.base import EngineDescription
from service.engine.device_engine import DeviceEngine
from service.engine.expression_reader import ExpressionReader
from service.engine.landmark_finders import LandmarkFinder
from service.engine.loaded_models import LoadedModels
from service.engine.openvino_faces import openvino_face_finder
from service.engine.openvino_runtime import Conversion, Dtype, OpenVinoGraph, OpenVinoRuntime
from service.engine.upscaling import EightBitNetwork, LandmarkedUpscaler
from service.errors import EngineUnavailableError

# Conversion follows the network's sizes and not its batch's; two, for one is easily taken as fixed.
_EXAMPLES = 2


def openvino_engine(
    models: LoadedModels,
    runtime: OpenVinoRuntime,
    open_finder: Callable[[LandmarkPredictor], LandmarkFinder],
    *,
    dtype: Dtype,
    min_confidence: float,
    passed_over: Mapping[str, str],
    max_batch_size: int,
    memory_limit_bytes: int | None,
) -> DeviceEngine:
    """Convert and compile the networks, or take them from the runtime's cache.

    Args:
        models: on the CPU.
        runtime: compiles.
        open_finder: called with the landmarker on OpenVINO.
        dtype: arithmetic of the networks; the landmarks that those take and expressions are
            computed in float32.
        min_confidence: below it expressions are read by the mean face.
        passed_over: see `EngineDescription`.
        max_batch_size: the largest batch to warm up.
        memory_limit_bytes: that this process may use; None where no limit is known.

    Raises:
        EngineUnavailableError: a network cannot be converted, or the CPU lacks the arithmetic.
    """
    if dtype == "bfloat16" and not runtime.has_bfloat16:
        raise EngineUnavailableError("this CPU does not compute in bfloat16")
    landmarker = OpenVinoLandmarker(runtime, models, dtype="float32")
    finder = open_finder(landmarker)
    reader = None
    if models.classifier is not None:
        served, classifier = models.classifier
        reader = ExpressionReader(
            served,
            OpenVinoClassifier(runtime, classifier, weights_sha256=served.weights_sha256),
            landmarker,
            min_confidence=min_confidence,
            device=torch.device("cpu"),
        )
    conversions = [upscaler_conversion(models, index) for index in range(len(models.upscalers))]
    graphs = runtime.compile_all(conversions, dtype=dtype)
    engine = DeviceEngine(
        [
            (
                model,
                LandmarkedUpscaler(
                    OpenVinoRun(graph),
                    finder if needs_landmarks(network.config) else None,
                    device=torch.device("cpu"),
                ),
            )
            for (model, network), graph in zip(models.upscalers, graphs, strict=True)
        ],
        reader,
        models.calibrations,
        description=EngineDescription(
            name="openvino", device="cpu", dtype=dtype, passed_over=passed_over
        ),
        max_batch_size=max_batch_size,
        memory_limit_bytes=memory_limit_bytes,
        on_close=finder.close,
    )
    if models.detector is not None:
        # In bfloat16 half the time, and a crop that moves by a five-hundredth of its side at most.
        judge = (
            landmarker if dtype == "float32" else OpenVinoLandmarker(runtime, models, dtype=dtype)
        )
        engine.add_face_finder(openvino_face_finder(runtime, models.detector, judge, dtype=dtype))
    return engine


def upscaler_conversion(models: LoadedModels, index: int) -> Conversion:
    """From (N, 3, grid, grid) faces (and their landmarks) to what an image file holds of them."""
    model, network = models.upscalers[index]
    faces = torch.rand(_EXAMPLES, 3, model.lr_size_px, model.lr_size_px)
    landmarks = models.landmarker.mean_landmarks.expand(_EXAMPLES, -1, -1).contiguous()
    return Conversion(
        name=model.reference,
        network=EightBitNetwork(network).eval(),
        examples=(faces, landmarks) if needs_landmarks(network.config) else (faces,),
        weights_sha256=model.weights_sha256,
    )


class OpenVinoRun:
    """A network that upscales; see `NetworkRun`."""

    def __init__(self, graph: OpenVinoGraph) -> None:
        self._graph = graph

    def __call__(
        self, lr: Tensor, landmarks: Tensor | None
    ) -> tuple[npt.NDArray[np.uint8], list[bool]]:
        rgb, is_finite = self._graph.run(lr, *([] if landmarks is None else [landmarks]))
        return rgb.astype(np.uint8, copy=False), is_finite.astype(bool).tolist()


class OpenVinoLandmarker:
    """The Landmarker; see `LandmarkPredictor`."""

    def __init__(self, runtime: OpenVinoRuntime, models: LoadedModels, *, dtype: Dtype) -> None:
        self.mean_landmarks = models.landmarker.mean_landmarks
        self._graph = runtime.compile(landmarker_conversion(models), dtype=dtype)

    def __call__(self, lr: Tensor) -> LandmarkPrediction:
        landmarks, logits = self._graph.run(Landmarker.to_grid(lr))
        return LandmarkPrediction(
            torch.from_numpy(landmarks.reshape(-1, LANDMARK_COUNT, 3)), torch.from_numpy(logits)
        )


def landmarker_conversion(models: LoadedModels) -> Conversion:
    """From faces on the Landmarker's own grid to landmarks and the confidence's log-odds."""
    return Conversion(
        name="landmarker",
        network=_Outputs(models.landmarker).eval(),
        examples=(Landmarker.to_grid(torch.rand(_EXAMPLES, 3, CROP_PX, CROP_PX)),),
        weights_sha256=models.landmarker_sha256,
    )


class _Outputs(nn.Module):
    """The Landmarker, its prediction taken apart: a graph has tensors and no dataclass."""

    def __init__(self, landmarker: Landmarker) -> None:
        super().__init__()
        self.landmarker = landmarker

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        prediction: LandmarkPrediction = self.landmarker(grid)
        return prediction.landmarks, prediction.confidence_logits


class OpenVinoClassifier:
    """An expression classifier in float32; see `ExpressionClassifier`."""

    def __init__(
        self, runtime: OpenVinoRuntime, classifier: Classifier, *, weights_sha256: str
    ) -> None:
        self._graph = runtime.compile(
            Conversion(
                name="classifier",
                network=_Probabilities(classifier).eval(),
                examples=(torch.rand(_EXAMPLES, 3, CROP_PX, CROP_PX),),
                weights_sha256=weights_sha256,
            ),
            dtype="float32",
        )

    def probabilities(self, crops: Tensor) -> Tensor:
        (probabilities,) = self._graph.run(crops)
        return torch.from_numpy(probabilities)


class _Probabilities(nn.Module):
    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, crops: Tensor) -> Tensor:
        return self.classifier.probabilities(crops)
