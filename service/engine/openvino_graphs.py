"""Compiled graphs of OpenVINO, and which of several computes what comes.

Of a graph that takes any shape OpenVINO knows less: it copies what fixed shapes let it compute in
place, and at each change of shape it lays out the whole graph anew.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    import openvino

Outputs = tuple[npt.NDArray[np.generic], ...]

# A larger graph whose batch is filled so far takes no longer than smaller ones in turn.
_WORTH_FILLING = 0.8


class Graph(Protocol):
    """Computes rows of inputs."""

    def run(self, *inputs: Tensor) -> Outputs:
        """Compute all outputs; they are the caller's, the next run leaves them alone."""
        ...


class OpenVinoGraph:
    """A compiled network; used by one thread at a time."""

    def __init__(self, compiled: "openvino.CompiledModel") -> None:
        self._request = compiled.create_infer_request()
        self._num_outputs = len(compiled.outputs)

    def run(self, *inputs: Tensor) -> Outputs:
        """See `Graph.run`."""
        self._request.infer([value.contiguous().numpy() for value in inputs])
        return tuple(
            np.array(self._request.get_output_tensor(index).data)
            for index in range(self._num_outputs)
        )


class BatchGraphs:
    """One network in graphs of fixed batches; a batch that none has is computed in parts.

    Against a graph that takes any batch, a face takes 0.75 to 0.85 of its time by an upscaler, and
    0.4 by a classifier; docs/engine.md has the figures.
    """

    def __init__(self, by_size: Mapping[int, Graph]) -> None:
        """Join graphs.

        Args:
            by_size: by the rows of their batch, at least one.
        """
        self._by_size = by_size

    def run(self, *inputs: Tensor) -> Outputs:
        """Compute N rows of inputs; see `Graph.run`."""
        start = 0
        parts: list[Outputs] = []
        for count, size in split_batch(len(inputs[0]), sorted(self._by_size)):
            rows = [_filled(value[start : start + count], size) for value in inputs]
            parts.append(tuple(output[:count] for output in self._by_size[size].run(*rows)))
            start += count
        if len(parts) == 1:
            return parts[0]
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))


class ShapeGraphs:
    """Copies of one graph that takes any shape, each kept for the shape that it had last.

    A photo is looked at in several sizes, and the next photo or frame of a video often in the same.
    """

    def __init__(self, large: Graph, small: Sequence[Graph], *, most_small: int) -> None:
        """Share the copies out.

        Args:
            large: computes what is larger than the others take: a copy's memory grows to that of
                the largest input that it ever had.
            small: the others, at least one.
            most_small: elements of an input that they take.
        """
        self._large = large
        self._most_small = most_small
        # The one that was used last comes first.
        self._small: list[tuple[tuple[int, ...], Graph]] = [((), one) for one in small]

    def run(self, rows: Tensor) -> Outputs:
        """Compute one input; see `Graph.run`."""
        if rows.numel() > self._most_small:
            return self._large.run(rows)
        shape = tuple(rows.shape)
        known = [one for one, _ in self._small]
        _, graph = self._small.pop(known.index(shape) if shape in known else -1)
        self._small.insert(0, (shape, graph))
        return graph.run(rows)


def split_batch(count: int, sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Say in which parts a batch is computed by graphs of fixed sizes.

    Args:
        count: of its rows.
        sizes: ascending.

    Returns:
        (rows, size) of each part, in order; a size that has more rows is filled up.
    """
    parts = []
    while count:
        size = next((one for one in sizes if one * _WORTH_FILLING <= count <= one), None)
        if size is None:
            size = max((one for one in sizes if one <= count), default=sizes[0])
        rows = min(count, size)
        parts.append((rows, size))
        count -= rows
    return parts


def _filled(rows: Tensor, size: int) -> Tensor:
    """As many rows as a graph takes, the last one repeated: what it gives for those is dropped."""
    missing = size - len(rows)
    if not missing:
        return rows
    return torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])])
