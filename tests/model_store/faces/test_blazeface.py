import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model_store.faces.blazeface import BlazeFace
from tests.tiny_detectors import tiny_detector


@pytest.fixture
def network() -> BlazeFace:
    return tiny_detector()


def depth_to_space(values: Tensor) -> Tensor:
    """TensorFlow's, for blocks of 2, one place at a time."""
    _, channels, height, width = values.shape
    kept = channels // 4
    made = torch.zeros(len(values), kept, 2 * height, 2 * width)
    for row in range(2):
        for column in range(2):
            first = (2 * row + column) * kept
            made[:, :, row::2, column::2] = values[:, first : first + kept]
    return made


@torch.inference_mode()
def test_cells_are_laid_out_as_tensorflow_does(network: BlazeFace) -> None:
    features = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    for head in (network.score, network.place):
        expected = depth_to_space(head.gather(head.mix(features)))
        assert torch.equal(head(features), expected)


@torch.inference_mode()
def test_places_are_counted_from_the_cells_middle_in_pixels(network: BlazeFace) -> None:
    for parameter in network.place.parameters():
        torch.nn.init.zeros_(parameter)
    bias = torch.zeros(4, 16)
    bias[:, :6] = torch.tensor([1.0, -2.0, 30.0, 40.0, 5.0, 6.0])
    network.place.gather.bias.data = bias.flatten()
    maps = network(torch.rand(1, 3, 64, 96))
    assert maps.scores.shape == (1, 16, 24)
    # The cell of column 5 and row 3 has its middle at (22, 14).
    boxes, keypoints = maps.faces_at(0, torch.tensor([3 * 24 + 5, 0]))
    assert boxes.tolist() == [[23, 12, 30, 40], [3, 0, 30, 40]]
    assert keypoints[0, :2].tolist() == [[27, 20], [22, 14]]
    assert keypoints.shape == (2, 6, 2)


@torch.inference_mode()
def test_a_pictures_company_and_a_shift_by_the_coarsest_cell_change_nothing(
    network: BlazeFace,
) -> None:
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    together, alone = network(pictures), network(pictures[1:])
    torch.testing.assert_close(together.scores[1:], alone.scores)
    # Grey around it, so that the picture's borders lie in the same surroundings.
    wide = F.pad(pictures[:1], (288, 288, 288, 288), value=0.5)
    moved = F.pad(pictures[:1], (320, 256, 288, 288), value=0.5)
    rows = slice(72, 88)
    expected = network(wide).places[:, :, rows, 72:88]
    found = network(moved).places[:, :, rows, 80:96]
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_sides_that_the_strides_do_not_divide_are_refused(network: BlazeFace) -> None:
    with pytest.raises(ValueError, match="48 x 64 px; sides must be multiples of 32"):
        network(torch.zeros(1, 3, 64, 48))


@torch.inference_mode()
def test_half_precision_keeps_places_to_a_fraction_of_a_pixel(network: BlazeFace) -> None:
    pictures = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    exact = network(pictures)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(pictures)
    assert rough.places.dtype == torch.float32
    assert np.abs(rough.places.numpy() - exact.places.numpy()).max() < 0.1


@torch.inference_mode()
def test_pictures_of_bytes_are_seen_as_those_in_unit_range(network: BlazeFace) -> None:
    levels = torch.randint(0, 256, (2, 64, 32, 3), dtype=torch.uint8)
    maps, expected = network.look_at(levels), network(levels.permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(maps.scores, expected.scores)
    torch.testing.assert_close(maps.places, expected.places)
