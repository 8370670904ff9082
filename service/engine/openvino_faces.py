"""Finding faces on OpenVINO: a sixth of PyTorch's time, on tiles of whatever size photos have."""

import torch
from torch import Tensor, nn

from model_store.faces.blazeface import STRIDE_PX, BlazeFace, FaceMaps
from model_store.faces.detector import FaceDetector
from model_store.landmarks.fallback import LandmarkPredictor
from service.engine.base import ServedVersion
from service.engine.face_finder import FaceFinder
from service.engine.openvino_runtime import Conversion, Dtype, OpenVinoRuntime


def openvino_face_finder(
    runtime: OpenVinoRuntime,
    detector: tuple[ServedVersion, BlazeFace],
    landmarker: LandmarkPredictor,
    *,
    dtype: Dtype,
) -> FaceFinder:
    """Have faces found on OpenVINO.

    Args:
        runtime: compiles the network.
        detector: which version it is, and the network.
        landmarker: judges what is proposed.
        dtype: arithmetic of the network; bfloat16 moves a face by a tenth of a pixel.

    Raises:
        EngineUnavailableError: the network cannot be converted.
    """
    served, network = detector
    maps = OpenVinoBlazeFace(runtime, network, weights_sha256=served.weights_sha256, dtype=dtype)
    return FaceFinder(served, FaceDetector(maps, landmarker), torch.device("cpu"))


class OpenVinoBlazeFace:
    """BlazeFace on pictures of any size; see `BlazeFace.forward`.

    The first tile of a size takes some 50 ms more; OpenVINO remembers the sizes.
    """

    def __init__(
        self, runtime: OpenVinoRuntime, network: BlazeFace, *, weights_sha256: str, dtype: Dtype
    ) -> None:
        self._graph = runtime.compile(
            Conversion(
                name="face-detector",
                network=_Maps(network).eval(),
                # Sides that are nowhere 1 and not equal: nothing of them is taken as fixed.
                examples=(torch.rand(2, 3, 2 * STRIDE_PX, 3 * STRIDE_PX),),
                weights_sha256=weights_sha256,
                takes_any_sides=True,
            ),
            dtype=dtype,
        )

    def __call__(self, pictures: Tensor) -> FaceMaps:
        scores, boxes, keypoints = self._graph.run(pictures)
        return FaceMaps(
            torch.from_numpy(scores), torch.from_numpy(boxes), torch.from_numpy(keypoints)
        )


class _Maps(nn.Module):
    """BlazeFace, its maps taken apart."""

    def __init__(self, network: BlazeFace) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps: FaceMaps = self.network(pictures)
        return maps.scores, maps.boxes, maps.keypoints
