import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model_store.emotion.ddamfn import DDAMFN
from model_store.emotion.mixed_feature_net import (
    DDAMFNConfig,
    MixedDepthwise,
    MixedFeatureNet,
    split_channels,
)


@pytest.mark.parametrize("stride", [1, 2])
def test_each_channel_is_filtered_by_its_own_centred_kernel(stride: int) -> None:
    torch.manual_seed(0)
    mixed = MixedDepthwise(8, kernels=((3, 2), (5, 1), (7, 1)), stride=stride).requires_grad_(False)
    assert mixed.sizes == [4, 2, 2]
    image = torch.randn(1, 8, 6, 10)
    result = mixed(image)
    kernels = [kernel[0] for part in mixed.parts for kernel in part.get_parameter("weight")]
    assert [len(kernel) for kernel in kernels] == [3, 3, 3, 3, 5, 5, 7, 7]
    for channel, kernel in enumerate(kernels):
        reach = len(kernel) // 2
        for i in range(result.shape[2]):
            for j in range(result.shape[3]):
                expected = 0.0
                for di in range(-reach, reach + 1):
                    for dj in range(-reach, reach + 1):
                        y, x = i * stride + di, j * stride + dj
                        if 0 <= y < 6 and 0 <= x < 10:
                            weight = float(kernel[di + reach, dj + reach])
                            expected += weight * float(image[0, channel, y, x])
                assert float(result[0, channel, i, j]) == pytest.approx(expected, abs=1e-5)


def test_the_public_sizes_have_the_public_kernels() -> None:
    with torch.device("meta"):
        backbone = MixedFeatureNet(DDAMFNConfig())
    parts = [
        [(part.out_channels, part.kernel_size[0]) for part in stage[place].spatial.depthwise.parts]
        for stage in backbone.stages
        for place in (0, 1)
    ]
    assert parts == [
        [(64, 3), (32, 5), (32, 7)],
        [(96, 3), (32, 5)],
        [(128, 3), (64, 5), (64, 7)],
        [(192, 3), (64, 5)],
        [(256, 3), (256, 5), (256, 7), (256, 9)],
        [(172, 3), (170, 5), (170, 7)],
    ]


def test_what_does_not_divide_goes_to_the_first_part() -> None:
    assert split_channels(512, [1, 1, 1]) == [172, 170, 170]
    assert split_channels(256, [172, 170, 170]) == [86, 85, 85]
    assert split_channels(12, [2, 1, 1]) == [6, 3, 3]


def test_the_public_sizes_take_the_published_operations() -> None:
    with torch.device("meta"):
        network = DDAMFN(DDAMFNConfig()).eval()
        crops = torch.rand(1, 3, 112, 112)
    with FlopCounterMode(display=False) as counter:
        network(crops)
    assert counter.get_total_flops() / 2 == pytest.approx(0.54e9, rel=0.01)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"widths": (64, 128)}, r"widths is \(64, 128\); it must name three stages"),
        ({"num_heads": 0}, "num_heads is 0; it must be at least 1"),
    ],
)
def test_what_cannot_be_built_is_refused(values: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DDAMFNConfig(**values)  # type: ignore[arg-type]
