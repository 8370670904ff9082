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
    return FaceFinder(served, FaceDetector(maps.look_at, landmarker), torch.device("cpu"))


class OpenVinoBlazeFace:
    """BlazeFace on pictures of any size.

    The first tile of a size takes some 50 ms more; OpenVINO remembers the sizes.
    """

    def __init__(
        self, runtime: OpenVinoRuntime, network: BlazeFace, *, weights_sha256: str, dtype: Dtype
    ) -> None:
        # Sides that are nowhere 1 and not equal: nothing of them is taken as fixed.
        example = torch.zeros(2, 2 * STRIDE_PX, 3 * STRIDE_PX, 3, dtype=torch.uint8)
        self._graph = runtime.compile(
            Conversion(
                name="face-detector",
                network=_Maps(network).eval(),
                examples=(example,),
                weights_sha256=weights_sha256,
                free_dimensions=(0, 1, 2),
            ),
            dtype=dtype,
        )

    def look_at(self, levels: Tensor) -> FaceMaps:
        """See `BlazeFace.look_at`."""
        scores, places = self._graph.run(levels)
        return FaceMaps(torch.from_numpy(scores), torch.from_numpy(places))


class _Maps(nn.Module):
    """BlazeFace on 8-bit pictures, its maps taken apart: a graph has tensors and no dataclass."""

    def __init__(self, network: BlazeFace) -> None:
        super().__init__()
        self.network = network

    def forward(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.network.look_at(levels)
        return maps.scores, maps.places
