"""The full configurations have the sizes that were published of them."""

import pytest
import torch

from model_store.architectures import UpscalerConfig, upscaler_from
from model_store.baselines.edsr import EDSRConfig
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
    ],
    ids=["srcnn-9-5-5", "srcnn-9-3-5", "srcnn-9-1-5", "edsr", "edsr-baseline"],
)
def test_parameter_count_is_the_published_one(config: UpscalerConfig, published: float) -> None:
    assert count_parameters(config) == pytest.approx(published, rel=0.02)
