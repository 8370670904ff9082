import numpy as np
import pytest
import torch

from model_store.baselines.fsrnet import FSRNet, FSRNetConfig, ResidualBlock
from tests.model_store.baselines.slow_layers import batch_norm, conv, weights_of
from tests.model_store.baselines.test_sparnet import scatter_statistics
from tests.tiny_baselines import tiny_configs


@pytest.mark.parametrize("widths", [(3, 3), (2, 4)])
def test_a_block_equals_an_independent_slow_one(widths: tuple[int, int]) -> None:
    block = ResidualBlock(*widths)
    scatter_statistics(block)
    block = block.double().eval()
    features = torch.randn(1, widths[0], 6, 5, dtype=torch.float64)

    with torch.no_grad():
        result = block(features)[0].numpy()
    image, weights = features[0].numpy(), weights_of(block)
    change = np.maximum(batch_norm(conv(image, weights, "conv1"), weights, "norm1"), 0)
    change = batch_norm(conv(change, weights, "conv2"), weights, "norm2")
    skipped = conv(image, weights, "fit") if "fit.weight" in weights else image

    np.testing.assert_allclose(result, skipped + change, atol=1e-12)


@pytest.mark.parametrize("scale", [4, 8])
def test_stages_are_the_coarse_image_the_result_and_heatmaps_at_half_its_size(scale: int) -> None:
    config = tiny_configs(scale)["fsrnet"]
    assert isinstance(config, FSRNetConfig)
    network = FSRNet(config).eval()
    lr = torch.rand(2, 3, 128 // scale, 128 // scale)

    stages = network.forward_stages(lr)

    assert [image.shape for image in stages.images] == [(2, 3, 128, 128)] * 2
    assert [heatmaps.shape for heatmaps in stages.heatmaps] == [(2, 68, 64, 64)]
    assert torch.equal(stages.images[-1], network(lr))


def test_the_result_comes_from_the_coarse_image_by_way_of_both_branches() -> None:
    config = tiny_configs(8)["fsrnet"]
    assert isinstance(config, FSRNetConfig)
    network = FSRNet(config).eval()
    lr = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        stages = network.forward_stages(lr)
        coarse = 2 * stages.images[0] - 1
        joined = torch.cat((network.encoder(coarse), network.prior(coarse)), dim=1)
        torch.testing.assert_close(stages.images[1], (network.decoder(joined) + 1) / 2)
        torch.testing.assert_close(stages.heatmaps[0], network.heatmaps(network.prior(coarse)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 2}, "scale is 2"),
        ({"num_encoder_blocks": 0}, "num_encoder_blocks is 0; it must be at least 1"),
        ({"prior_features": 9}, "prior_features is 9; it must be a multiple of 2"),
        ({"hourglass_depth": 7}, "hourglass_depth is 7; it must be at most 6"),
    ],
)
def test_sizes_that_cannot_be_built_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FSRNetConfig(**{"scale": 8, **options})
