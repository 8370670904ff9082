import math

import pytest
import torch
from torch import Tensor

from model_store.affectsrnet.graph_map import PooledGraphMap, SplatGraphMap

HEIGHT, WIDTH = 20, 10


@pytest.fixture
def splat() -> SplatGraphMap:
    return SplatGraphMap(3, 2, sigma=0.05)


def at(x: float, y: float) -> Tensor:
    return torch.tensor([[[x, y, 0.0]]])


@pytest.mark.parametrize(("x", "y"), [(0.75, 0.225), (0.25, 0.925), (0.05, 0.025)])
def test_a_node_lies_at_its_x_and_y(splat: SplatGraphMap, x: float, y: float) -> None:
    node = torch.randn(1, 1, 3)

    laid = splat(node, at(x, y), HEIGHT, WIDTH)[0]

    row, column = int(y * HEIGHT), int(x * WIDTH)
    strength = laid.norm(dim=0)
    assert divmod(int(strength.argmax()), WIDTH) == (row, column)
    # At the centre of its px a node keeps all but what the fade takes: 1 / 1.01.
    torch.testing.assert_close(laid[:, row, column], splat.project(node)[0, 0] / 1.01)


def test_the_map_fades_where_no_node_is(splat: SplatGraphMap) -> None:
    laid = splat(torch.randn(1, 1, 3), at(0.2, 0.2), HEIGHT, WIDTH)[0]
    assert bool((laid[:, -1, -1].abs() < 1e-5).all())
    assert bool(laid.isfinite().all())


def test_splat_equals_a_loop_over_nodes(splat: SplatGraphMap) -> None:
    nodes, landmarks = torch.randn(2, 9, 3), torch.rand(2, 9, 3)
    laid = splat(nodes, landmarks, HEIGHT, WIDTH)
    values = splat.project(nodes)
    for n in range(2):
        for row in range(HEIGHT):
            for column in range(WIDTH):
                summed, weight = torch.zeros(2), 0.01
                for v in range(9):
                    dx = (column + 0.5) / WIDTH - float(landmarks[n, v, 0])
                    dy = (row + 0.5) / HEIGHT - float(landmarks[n, v, 1])
                    height = math.exp(-(dx * dx + dy * dy) / (2 * 0.05**2))
                    summed += height * values[n, v]
                    weight += height
                torch.testing.assert_close(
                    laid[n, :, row, column], summed / weight, atol=1e-5, rtol=1e-4
                )


def test_splat_is_the_same_face_at_every_resolution(splat: SplatGraphMap) -> None:
    nodes, landmarks = torch.randn(1, 30, 3), torch.rand(1, 30, 3)
    coarse = splat(nodes, landmarks, 64, 64)
    fine = splat(nodes, landmarks, 128, 128)
    difference = torch.nn.functional.avg_pool2d(fine, 2) - coarse
    assert bool(difference.abs().mean() < 0.01)


def test_splat_makes_no_denormal_numbers(splat: SplatGraphMap) -> None:
    # They are correct, and made the branch 20 times as slow on a CPU.
    weights = splat._weights(torch.rand(1, 50), 128)
    smallest_product = float(weights.min()) ** 2
    assert smallest_product > torch.finfo(torch.float32).tiny


def test_splat_is_differentiable_in_the_positions(splat: SplatGraphMap) -> None:
    landmarks = torch.rand(1, 6, 3, requires_grad=True)
    splat(torch.randn(1, 6, 3), landmarks, HEIGHT, WIDTH).square().sum().backward()
    assert landmarks.grad is not None
    assert bool((landmarks.grad[..., :2] != 0).all())


def test_pooled_has_no_correspondence_with_places() -> None:
    pooled = PooledGraphMap(3, 2)
    nodes, landmarks = torch.randn(1, 9, 3), torch.rand(1, 9, 3)
    shuffled = torch.randperm(9)

    expected = pooled(nodes, landmarks, HEIGHT, WIDTH)

    assert expected.shape == (1, 2, HEIGHT, WIDTH)
    assert torch.equal(pooled(nodes, 1 - landmarks, HEIGHT, WIDTH), expected)
    torch.testing.assert_close(pooled(nodes[:, shuffled], landmarks, HEIGHT, WIDTH), expected)
