import numpy as np
import pytest
import torch

from model_store.baselines.edsr import EDSR, EDSRConfig, ResidualBlock, SubPixelUpsampling


def test_a_block_adds_its_scaled_change() -> None:
    block = ResidualBlock(4, scale=0.1)
    features = torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        change = block.conv2(block.conv1(features).clamp(min=0))
        torch.testing.assert_close(block(features), features + 0.1 * change)


def test_upsampling_lays_four_channels_out_as_two_by_two_pixels() -> None:
    upsampling = SubPixelUpsampling(2).double()
    features = torch.randn(1, 2, 3, 3, dtype=torch.float64)
    with torch.no_grad():
        wide = upsampling.conv(features)[0].numpy()
        enlarged = upsampling(features)[0].numpy()
    expected = np.empty((2, 6, 6))
    for channel in range(2):
        for y in range(6):
            for x in range(6):
                source = 4 * channel + 2 * (y % 2) + x % 2
                expected[channel, y, x] = wide[source, y // 2, x // 2]
    np.testing.assert_allclose(enlarged, expected)


def test_a_network_without_weights_gives_the_mean_colour() -> None:
    network = EDSR(EDSRConfig(scale=4, num_blocks=1, num_features=4))
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    sr = network(torch.rand(1, 3, 32, 32))
    mean = torch.tensor([0.4488, 0.4371, 0.4040])[None, :, None, None]
    torch.testing.assert_close(sr, mean.expand(1, 3, 128, 128))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 2}, "scale is 2"),
        ({"num_blocks": 0}, "num_blocks is 0; it must be at least 1"),
        ({"num_features": 0}, "num_features is 0; it must be at least 1"),
        ({"residual_scale": 0.0}, "residual_scale is 0.0; it must be above 0"),
    ],
)
def test_sizes_that_cannot_be_built_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EDSRConfig(**{"scale": 4, **options})
