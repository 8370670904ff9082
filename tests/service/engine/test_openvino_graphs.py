"""Which graph computes what, with graphs that count."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from service.engine.openvino_graphs import BatchGraphs, Outputs, ShapeGraphs, split_batch


class Doubling:
    """A graph that doubles its first input and tells the second; remembers the shapes it had."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def run(self, *inputs: Tensor) -> Outputs:
        self.shapes.append(tuple(inputs[0].shape))
        return (2 * inputs[0].numpy(), inputs[-1].numpy())


@pytest.mark.parametrize(
    ("count", "sizes", "expected"),
    [
        (1, [1, 8], [(1, 1)]),
        (3, [1, 8], [(1, 1)] * 3),
        (7, [1, 8], [(7, 8)]),
        (8, [1, 8], [(8, 8)]),
        (10, [1, 8], [(8, 8), (1, 1), (1, 1)]),
        (1, [2, 8], [(1, 2)]),
        (3, [2, 8], [(2, 2), (1, 2)]),
        (6, [2, 8], [(2, 2)] * 3),
        (5, [1, 2, 4, 8], [(4, 4), (1, 1)]),
        (1, [4], [(1, 4)]),
    ],
)
def test_batch_is_split_into_what_has_a_graph(
    count: int, sizes: list[int], expected: list[tuple[int, int]]
) -> None:
    assert split_batch(count, sizes) == expected


@given(
    count=st.integers(min_value=1, max_value=300),
    sizes=st.sets(st.integers(min_value=1, max_value=64), min_size=1),
)
def test_split_holds_every_row_once_and_none_is_too_large(count: int, sizes: set[int]) -> None:
    parts = split_batch(count, sorted(sizes))
    assert sum(rows for rows, _ in parts) == count
    assert all(1 <= rows <= size and size in sizes for rows, size in parts)


@pytest.mark.parametrize("count", range(1, 20))
def test_parts_come_back_in_order_without_what_fills_them(count: int) -> None:
    graphs = {size: Doubling() for size in (2, 8)}
    rows, marks = torch.arange(3 * count).reshape(count, 3), torch.arange(count)
    doubled, same = BatchGraphs(graphs).run(rows, marks)
    assert np.array_equal(doubled, 2 * rows.numpy())
    assert np.array_equal(same, marks.numpy())
    assert all(shape[0] == size for size, graph in graphs.items() for shape in graph.shapes)


def shapes_of(graphs: Sequence[Doubling]) -> list[list[int]]:
    return [[rows for rows, *_ in graph.shapes] for graph in graphs]


def test_each_copy_keeps_a_shape_until_another_needs_it() -> None:
    large, *small = graphs = [Doubling() for _ in range(3)]
    shaped = ShapeGraphs(large, small, most_small=10)
    for rows in (1, 2, 1, 2, 3, 2):
        (doubled, _) = shaped.run(torch.ones(rows, 2))
        assert doubled.shape == (rows, 2)
    # 3 took the place of 1, which was used before 2 was.
    assert sorted(shapes_of(graphs)) == [[], [1, 1, 3], [2, 2, 2]]


def test_large_inputs_share_one_copy() -> None:
    large, *small = graphs = [Doubling() for _ in range(3)]
    shaped = ShapeGraphs(large, small, most_small=10)
    for rows in (6, 9, 5):
        shaped.run(torch.ones(rows, 2))
    assert shapes_of(graphs)[0] == [6, 9]
    assert sorted(shapes_of(small)) == [[], [5]]
