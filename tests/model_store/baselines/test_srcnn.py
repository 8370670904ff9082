import numpy as np
import pytest
import torch
from PIL import Image
from scipy.signal import correlate

from model_store.baselines.srcnn import SRCNN, SRCNNConfig
from model_store.image_tensor import images_to_tensor

RGB_TO_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)


def slow_srcnn(planes: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """(C, H, W) enlarged -> (C, H, W), a sum of correlations layer by layer."""
    names = ("patch_extraction", "mapping", "reconstruction")
    for name in names:
        kernels, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        planes = np.stack(
            [
                sum(correlate(p, k, mode="same") for p, k in zip(planes, kernel, strict=True)) + b
                for kernel, b in zip(kernels, bias, strict=True)
            ]
        )
        if name != "reconstruction":
            planes = np.maximum(planes, 0)
    return planes


@pytest.mark.parametrize("colour", ["y", "rgb"])
def test_it_equals_an_independent_slow_one_on_pillows_enlargement(colour: str) -> None:
    config = SRCNNConfig(scale=4, num_features=(5, 3), kernel_sizes=(9, 1, 5), colour=colour)
    network = SRCNN(config)
    lr = np.random.default_rng(0).integers(60, 190, (32, 32, 3), dtype=np.uint8)

    large = np.asarray(Image.fromarray(lr).resize((128, 128), Image.Resampling.BICUBIC)) / 255.0
    weights = {key: value.double().numpy() for key, value in network.state_dict().items()}
    if colour == "y":
        ycbcr = np.einsum("ij,hwj->ihw", RGB_TO_YCBCR, large)
        ycbcr[:1] = slow_srcnn(ycbcr[:1], weights)
        expected = np.einsum("ij,jhw->ihw", np.linalg.inv(RGB_TO_YCBCR), ycbcr)
    else:
        expected = slow_srcnn(large.transpose(2, 0, 1), weights)
    with torch.no_grad():
        sr = network(images_to_tensor([lr]))[0].numpy()

    # Pillow rounds its enlargement to 8 bits.
    np.testing.assert_allclose(sr, expected, atol=1.5 / 255)
    assert np.abs(sr - expected).mean() < 0.5 / 255


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 3}, r"scale is 3; it must be one of \(4, 8\)"),
        ({"num_features": (64,)}, r"num_features is \(64,\); it must be 2 counts"),
        ({"num_features": (64, 0)}, r"num_features is \(64, 0\); it must be 2 counts"),
        ({"kernel_sizes": (9, 4, 5)}, r"kernel_sizes is \(9, 4, 5\); it must be 3 odd sizes"),
        ({"kernel_sizes": (9, 5)}, r"kernel_sizes is \(9, 5\); it must be 3 odd sizes"),
        ({"colour": "lab"}, "colour is 'lab'; it must be 'y' or 'rgb'"),
    ],
)
def test_sizes_that_cannot_be_built_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SRCNNConfig(**{"scale": 4, **options})
