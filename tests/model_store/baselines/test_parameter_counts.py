"""The full configurations have the sizes that were published of them."""

import pytest
import torch

from model_store.architectures import UpscalerConfig, upscaler_from
from model_store.baselines.config import BaselineConfig
from model_store.baselines.dic import DICConfig
from model_store.baselines.edsr import EDSRConfig
from model_store.baselines.fsrnet import FSRNetConfig
from model_store.baselines.sparnet import SPARNetConfig
from model_store.baselines.srcnn import SRCNNConfig


def count_parameters(config: UpscalerConfig) -> int:
    with torch.device("meta"):  # counts without memory for the values
        network = upscaler_from(config)
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("config", "published"),
    [
        # Section 4.3.2 counts the weights.
        (SRCNNConfig(scale=4), 57_184),
        (SRCNNConfig(scale=8, kernel_sizes=(9, 3, 5)), 24_416),
        (SRCNNConfig(scale=4, kernel_sizes=(9, 1, 5)), 8_032),
        # Table 1, which stands for x4.
        (EDSRConfig(scale=4), 43e6),
        (EDSRConfig(scale=4, num_blocks=16, num_features=64, residual_scale=1.0), 1.5e6),
        # As later papers list it; its own gives no size.
        (FSRNetConfig(scale=8), 27.5e6),
        # The authors' published code with its published options; it has no x4.
        (DICConfig(scale=8), 21_803_849),
        # The released model, and what the paper says of its own.
        (SPARNetConfig(scale=8), 10.52e6),
        (SPARNetConfig(scale=8, num_body_units=9), 9.86e6),
    ],
    ids=lambda value: value.architecture if isinstance(value, BaselineConfig) else f"{value:g}",
)
def test_parameter_count_is_the_published_one(config: UpscalerConfig, published: float) -> None:
    assert count_parameters(config) == pytest.approx(published, rel=0.02)
