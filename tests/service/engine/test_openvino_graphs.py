"""Which graph computes what, with graphs that count."""

import contextlib
import gc
import weakref
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from service.engine.openvino_graphs import Outputs, RowGraph, ShapeGraphs
from service.engine.openvino_runtime import num_streams


class Doubling:
    """A graph that doubles its first input and tells the second; remembers the shapes it had."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def run(self, *inputs: Tensor) -> Outputs:
        self.shapes.append(tuple(inputs[0].shape))
        return (2 * inputs[0].numpy(), inputs[-1].numpy())


class Request:
    """Doubles its first row and tells the second; fails where a row has a -13."""

    def __init__(self) -> None:
        self._outputs: tuple[npt.NDArray[np.int64], ...] = ()
        self.num_waited = 0

    def start_async(self, inputs: Sequence[npt.NDArray[np.int64]]) -> None:
        assert {len(value) for value in inputs} == {1}
        self._outputs = (2 * inputs[0], inputs[-1])

    def wait(self) -> None:
        self.num_waited += 1
        if -26 in self._outputs[0]:
            raise RuntimeError("the row cannot be computed")

    def get_output_tensor(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(data=self._outputs[index])


class Compiled:
    outputs = (0, 1)

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def create_infer_request(self) -> Request:
        self.requests.append(Request())
        return self.requests[-1]


def test_rows_come_back_in_order_whatever_ran_before() -> None:
    compiled = Compiled()
    graph = RowGraph(compiled)
    for count in (1, 5, 3, 8, 1):
        rows, marks = torch.arange(3 * count).reshape(count, 3), torch.arange(count)
        doubled, same = graph.run(rows, marks)
        assert np.array_equal(doubled, 2 * rows.numpy())
        assert np.array_equal(same, marks.numpy())
    assert len(compiled.requests) == 8  # as many as the largest batch had rows


@pytest.mark.parametrize(
    ("count", "num_beside", "num_alone"), [(1, 0, 1), (2, 2, 0), (3, 2, 1), (8, 8, 0), (9, 8, 1)]
)
def test_rows_that_would_leave_a_core_idle_have_all_of_them(
    count: int, num_beside: int, num_alone: int
) -> None:
    compiled, alone = Compiled(), Doubling()
    graph = RowGraph(compiled, alone=alone, at_once=2)
    rows, marks = torch.arange(3 * count).reshape(count, 3), torch.arange(count)
    doubled, same = graph.run(rows, marks)
    assert np.array_equal(doubled, 2 * rows.numpy())
    assert np.array_equal(same, marks.numpy())
    assert len(compiled.requests) == num_beside
    assert alone.shapes == [(1, 3)] * num_alone


def test_of_four_at_once_up_to_three_are_left() -> None:
    compiled, alone = Compiled(), Doubling()
    doubled, _ = RowGraph(compiled, alone=alone, at_once=4).run(torch.arange(7)[:, None])
    assert doubled.tolist() == [[2 * row] for row in range(7)]
    assert (len(compiled.requests), len(alone.shapes)) == (4, 3)


def test_row_that_fails_is_raised_when_no_other_runs_any_more() -> None:
    compiled = Compiled()
    graph = RowGraph(compiled)
    with pytest.raises(RuntimeError, match="the row cannot be computed"):
        graph.run(torch.tensor([[1], [-13], [2], [3]]))
    assert [request.num_waited for request in compiled.requests] == [1, 1, 1, 1]
    doubled, _ = graph.run(torch.tensor([[4]]))
    assert doubled.tolist() == [[8]]


def test_rows_of_a_failed_batch_are_not_left_to_the_collector() -> None:
    graph, rows = RowGraph(Compiled()), torch.tensor([[-13], [-13]])
    held = weakref.ref(rows)
    gc.disable()
    try:
        with contextlib.suppress(RuntimeError):
            graph.run(rows)
        del rows
        assert held() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("num_threads", "expected"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 2), (6, 3), (8, 4), (64, 4)]
)
def test_threads_are_shared_out_evenly_among_rows(num_threads: int, expected: int) -> None:
    assert num_streams(num_threads) == expected


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
