"""Rewritten networks against the same ones in PyTorch."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

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

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
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
