"""Finding faces on OpenVINO: a sixth of PyTorch's time, on tiles of whatever size photos have."""

from collections.abc import Sequence
from concurrent.futures import Future

import torch
from torch import Tensor, nn

from model_store.faces.blazeface import STRIDE_PX, BlazeFace, FaceMaps
from service.engine.base import ServedVersion
from service.engine.openvino_graphs import OpenVinoGraph, ShapeGraphs
from service.engine.openvino_runtime import Conversion, Dtype, GraphCompiler

# A photo is looked at in some five sizes, most of which are small.
_NUM_SMALL = 4
# Bytes of a tile; each copy of the graph holds up to eight times as much and more.
_MOST_SMALL = 3 * 512 * 512


def order_detector(
    compiler: GraphCompiler, served: ServedVersion, network: BlazeFace, *, dtype: Dtype
) -> list[Future[OpenVinoGraph]]:
    """Order the graphs of `OpenVinoBlazeFace`.

    Args:
        compiler: takes the order.
        served: which version it is.
        network: BlazeFace.
        dtype: its arithmetic; bfloat16 moves a face by a tenth of a pixel.
    """
    # Sides that are nowhere 1 and not equal: nothing of them is taken as fixed.
    example = torch.zeros(2, 2 * STRIDE_PX, 3 * STRIDE_PX, 3, dtype=torch.uint8)
    conversion = Conversion(
        name="face-detector",
        network=_Maps(network).eval(),
        examples=(example,),
        weights_sha256=served.weights_sha256,
        free_dimensions=(0, 1, 2),
    )
    return [compiler.order(conversion, dtype=dtype) for _ in range(1 + _NUM_SMALL)]


class OpenVinoBlazeFace:
    """BlazeFace on pictures of any size.

    The first tile of a size takes some 50 ms more; OpenVINO remembers the sizes.
    """

    def __init__(self, graphs: Sequence[OpenVinoGraph]) -> None:
        """Take what `order_detector` ordered."""
        large, *small = graphs
        self._graphs = ShapeGraphs(large, small, most_small=_MOST_SMALL)

    def look_at(self, levels: Tensor) -> FaceMaps:
        """See `BlazeFace.look_at`."""
        scores, places = self._graphs.run(levels)
        return FaceMaps(torch.from_numpy(scores), torch.from_numpy(places))


class _Maps(nn.Module):
    """BlazeFace on 8-bit pictures, its maps taken apart: a graph has tensors and no dataclass."""

    def __init__(self, network: BlazeFace) -> None:
        super().__init__()
        self.network = network

    def forward(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.network.look_at(levels)
        return maps.scores, maps.places
