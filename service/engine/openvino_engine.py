"""The engine on OpenVINO: the same networks, computed on a CPU in about half of PyTorch's time."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model_store.architectures import Classifier, needs_landmarks
from model_store.emotion.classifier import CROP_PX
from model_store.faces.detector import FaceDetector
from model_store.landmarks.fallback import LandmarkPredictor
from model_store.landmarks.landmarker import Landmarker, LandmarkPrediction
from model_store.landmarks.topology import LANDMARK_COUNT
from service.engine.base import EngineDescription, ServedVersion
from service.engine.device_engine import DeviceEngine
from service.engine.expression_reader import ExpressionReader
from service.engine.face_finder import FaceFinder
from service.engine.landmark_finders import LandmarkFinder
from service.engine.loaded_models import LoadedModels
from service.engine.openvino_faces import OpenVinoBlazeFace, order_detector
from service.engine.openvino_graphs import OpenVinoGraph, RowGraph
from service.engine.openvino_runtime import Conversion, Dtype, OpenVinoRuntime
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
        dtype: arithmetic of the networks, and of the landmarks that they take; expressions are read
            in float32.
        min_confidence: below it expressions are read by the mean face.
        passed_over: see `EngineDescription`.
        max_batch_size: the largest batch.
        memory_limit_bytes: that this process may use; None where no limit is known.

    Raises:
        EngineUnavailableError: a network cannot be converted, or the CPU lacks the arithmetic.
    """
    if dtype == "bfloat16" and not runtime.has_bfloat16:
        raise EngineUnavailableError("this CPU does not compute in bfloat16")
    with runtime.compiler() as compiler:
        finding = landmarker_conversion(models)
        landmarks = compiler.order(finding, dtype=dtype)
        # Of two machines expressions are to be the same, and faces are aligned by landmarks.
        aligning = (
            landmarks
            if models.classifier is None or dtype == "float32"
            else compiler.order(finding, dtype="float32")
        )
        networks = [
            compiler.order_rows(
                upscaler_conversion(models, index),
                dtype=dtype,
                # In bfloat16 threads that share a face move its colours by two levels.
                shares_cores=dtype == "float32",
            )
            for index in range(len(models.upscalers))
        ]
        classes = (
            None
            if models.classifier is None
            else compiler.order_rows(classifier_conversion(*models.classifier), dtype="float32")
        )
        tiles = (
            []
            if models.detector is None
            else order_detector(compiler, *models.detector, dtype=dtype)
        )

    mean_landmarks = models.landmarker.mean_landmarks
    landmarker = OpenVinoLandmarker(landmarks.result(), mean_landmarks)
    finder = open_finder(landmarker)
    engine = DeviceEngine(
        [
            (
                model,
                LandmarkedUpscaler(
                    OpenVinoRun(graph.result()),
                    finder if needs_landmarks(network.config) else None,
                    device=torch.device("cpu"),
                ),
            )
            for (model, network), graph in zip(models.upscalers, networks, strict=True)
        ],
        None
        if models.classifier is None or classes is None
        else ExpressionReader(
            models.classifier[0],
            OpenVinoClassifier(classes.result()),
            OpenVinoLandmarker(aligning.result(), mean_landmarks),
            min_confidence=min_confidence,
            device=torch.device("cpu"),
        ),
        models.calibrations,
        description=EngineDescription(
            name="openvino", device="cpu", dtype=dtype, passed_over=passed_over
        ),
        max_batch_size=max_batch_size,
        memory_limit_bytes=memory_limit_bytes,
        rows_at_once=runtime.num_streams,
        on_close=finder.close,
    )
    if models.detector is not None:
        blazeface = OpenVinoBlazeFace([graph.result() for graph in tiles])
        engine.add_face_finder(
            FaceFinder(
                models.detector[0],
                FaceDetector(blazeface.look_at, landmarker),
                torch.device("cpu"),
            )
        )
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

    def __init__(self, graph: RowGraph) -> None:
        self._graph = graph

    def __call__(
        self, lr: Tensor, landmarks: Tensor | None
    ) -> tuple[npt.NDArray[np.uint8], list[bool]]:
        rgb, is_finite = self._graph.run(lr, *([] if landmarks is None else [landmarks]))
        return rgb.astype(np.uint8, copy=False), is_finite.astype(bool).tolist()


class OpenVinoLandmarker:
    """The Landmarker; see `LandmarkPredictor`."""

    def __init__(self, graph: OpenVinoGraph, mean_landmarks: Tensor) -> None:
        self.mean_landmarks = mean_landmarks
        self._graph = graph

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

    def __init__(self, graph: RowGraph) -> None:
        self._graph = graph

    def probabilities(self, crops: Tensor) -> Tensor:
        (probabilities,) = self._graph.run(crops)
        return torch.from_numpy(probabilities)


def classifier_conversion(served: ServedVersion, classifier: Classifier) -> Conversion:
    """From (N, 3, 112, 112) aligned faces to (N, 7) probabilities."""
    return Conversion(
        name="classifier",
        network=_Probabilities(classifier).eval(),
        examples=(torch.rand(_EXAMPLES, 3, CROP_PX, CROP_PX),),
        weights_sha256=served.weights_sha256,
    )


class _Probabilities(nn.Module):
    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, crops: Tensor) -> Tensor:
        return self.classifier.probabilities(crops)
