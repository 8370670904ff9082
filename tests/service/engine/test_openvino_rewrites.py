"""Rewritten networks against the same ones in PyTorch."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from model_store.affectsrnet.rrdb import InstanceNorm
from service.engine.openvino_runtime import Conversion, OpenVinoRuntime


class Small(nn.Module):
    """A norm of each channel, one of two groups, and a linear layer on what an image has left."""

    def __init__(self) -> None:
        super().__init__()
        self.own = InstanceNorm(4)
        self.shared = nn.GroupNorm(2, 4)
        self.project = nn.Linear(4, 3)
        nn.init.normal_(self.own.weight)
        nn.init.normal_(self.own.bias)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        normal = self.own(features)
        return self.shared(normal), self.project(normal.square().mean((2, 3)))


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


def test_instance_norms_and_linear_layers_are_replaced_and_nothing_else(
    runtime: OpenVinoRuntime, conversion: Conversion
) -> None:
    kinds = Counter(node.get_type_name() for node in runtime.convert(conversion).get_ops())
    assert (kinds["MVN"], kinds["GroupNormalization"]) == (1, 1)
    assert (kinds["Convolution"], kinds["MatMul"]) == (1, 0)


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_results_are_those_of_pytorch(
    batch_size: int | None, runtime: OpenVinoRuntime, conversion: Conversion
) -> None:
    with runtime.compiler() as compiler:
        graph = compiler.order(conversion, dtype="float32", batch_size=batch_size)
    features = 3 * torch.rand(batch_size or 5, 4, 5, 6) - 1
    with torch.inference_mode():
        expected = conversion.network(features)
    for ours, theirs in zip(graph.result().run(features), expected, strict=True):
        np.testing.assert_allclose(ours.astype(float), theirs.numpy(), atol=1e-5)
