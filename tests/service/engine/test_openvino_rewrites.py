"""Rewritten networks against the same ones in PyTorch."""

from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_store.affectsrnet.rrdb import InstanceNorm
from service.engine.openvino_runtime import Conversion, OpenVinoRuntime


class Small(nn.Module):
    """A norm of each channel, and one of two groups."""

    def __init__(self) -> None:
        super().__init__()
        self.own = InstanceNorm(4)
        self.shared = nn.GroupNorm(2, 4)
        nn.init.normal_(self.own.weight)
        nn.init.normal_(self.own.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        normal = self.own(features)
        return normal, self.shared(features)


@pytest.fixture(scope="module")
def runtime() -> OpenVinoRuntime:
    return OpenVinoRuntime(num_threads=1, cache=None)


@pytest.fixture(scope="module")
def conversion() -> Conversion:
    torch.manual_seed(0)
    return Conversion(
        name="small",
        network=Small().eval(),
        examples=(torch.rand(2, 4, 5, 6),),
        weights_sha256="",
    )


def test_instance_norms_are_replaced_and_no_others(
    runtime: OpenVinoRuntime, conversion: Conversion
) -> None:
    kinds = Counter(node.get_type_name() for node in runtime.convert(conversion).get_ops())
    assert (kinds["MVN"], kinds["GroupNormalization"]) == (1, 1)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("by_rows", [False, True])
def test_results_are_those_of_pytorch(
    count: int, by_rows: bool, runtime: OpenVinoRuntime, conversion: Conversion
) -> None:
    with runtime.compiler() as compiler:
        order = compiler.order_rows if by_rows else compiler.order
        graph = order(conversion, dtype="float32")
    features = 3 * torch.rand(count, 4, 5, 6) - 1
    with torch.inference_mode():
        expected = conversion.network(features)
    for ours, theirs in zip(graph.result().run(features), expected, strict=True):
        np.testing.assert_allclose(ours.astype(float), theirs.numpy(), atol=1e-5)


class Doubling(nn.Module):
    """Sides doubled and convolved, as upscalers do; what differs from that is told by `but`."""

    def __init__(self, but: str = "nothing") -> None:
        super().__init__()
        self.but = but
        kernel_px = 5 if but == "kernel" else 3
        self.convolution = nn.Conv2d(
            3, 4, kernel_px, padding=kernel_px // 2, stride=2 if but == "stride" else 1
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        mode = "bilinear" if self.but == "smooth" else "nearest"
        factor = 3 if self.but == "factor" else 2
        larger = F.interpolate(features, scale_factor=factor, mode=mode)
        convolved = self.convolution(larger)
        activated = convolved if self.but == "slope" else F.leaky_relu(convolved, 0.2)
        return activated, larger if self.but == "used twice" else features


def doubling(but: str = "nothing") -> Conversion:
    torch.manual_seed(0)
    return Conversion(
        name=f"doubling, but {but}",
        network=Doubling(but).eval(),
        examples=(torch.rand(2, 3, 5, 6),),
        weights_sha256="",
    )


def test_convolutions_work_before_sides_are_doubled(runtime: OpenVinoRuntime) -> None:
    nodes = runtime.convert(doubling()).get_ops()
    kinds = Counter(node.get_type_name() for node in nodes)
    assert (kinds["Interpolate"], kinds["Convolution"], kinds["DepthToSpace"]) == (0, 4, 1)
    kernels = [
        node.input_value(1).get_shape() for node in nodes if node.get_type_name() == "Convolution"
    ]
    assert kernels == [[4, 3, 2, 2]] * 4


@pytest.mark.parametrize("but", ["kernel", "stride", "smooth", "factor", "slope", "used twice"])
def test_other_convolutions_stay(but: str, runtime: OpenVinoRuntime) -> None:
    kinds = Counter(node.get_type_name() for node in runtime.convert(doubling(but)).get_ops())
    assert (kinds["Interpolate"], kinds["Convolution"], kinds["DepthToSpace"]) == (1, 1, 0)


@pytest.mark.parametrize("but", ["nothing", "kernel", "factor", "slope", "used twice"])
@pytest.mark.parametrize("by_rows", [False, True])
def test_doubled_and_convolved_is_that_of_pytorch(
    but: str, by_rows: bool, runtime: OpenVinoRuntime
) -> None:
    conversion = doubling(but)
    with runtime.compiler() as compiler:
        order = compiler.order_rows if by_rows else compiler.order
        graph = order(conversion, dtype="float32")
    features = 3 * torch.rand(3, 3, 5, 6) - 1
    with torch.inference_mode():
        expected = conversion.network(features)
    for ours, theirs in zip(graph.result().run(features), expected, strict=True):
        np.testing.assert_allclose(ours.astype(float), theirs.numpy(), atol=1e-5)
