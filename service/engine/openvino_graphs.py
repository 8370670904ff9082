"""Compiled graphs of OpenVINO, and which of several computes what comes.

Of a graph that takes any shape OpenVINO knows less: it copies what fixed shapes let it compute in
place, and at each change of shape it lays out the whole graph anew.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

if TYPE_CHECKING:
    import openvino

Outputs = tuple[npt.NDArray[np.generic], ...]


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


class RowGraph:
    """A network compiled for one row; a batch's rows are computed beside each other.

    Threads that share a row wait for each other 400 times in an upscaler. One row a core takes less
    time together, none is computed otherwise in company than alone, and a batch of any size takes
    the memory of one row a core. Rows that would leave cores idle may be another graph's.
    """

    def __init__(
        self,
        compiled: "openvino.CompiledModel",
        *,
        alone: Graph | None = None,
        at_once: int = 1,
    ) -> None:
        """Take the graphs.

        Args:
            compiled: computes one row on each core.
            alone: computes one row on all cores: those that are left when each core has had as
                many as the others. A lone row then takes little more than half of its time.
            at_once: rows that `compiled` computes beside each other.
        """
        self._compiled = compiled
        self._num_outputs = len(compiled.outputs)
        self._requests: list[openvino.InferRequest] = []
        self._alone = alone
        self._at_once = at_once

    def run(self, *inputs: Tensor) -> Outputs:
        """Compute N rows; see `Graph.run`."""
        rows = [value.contiguous().numpy() for value in inputs]
        count = len(rows[0])
        num_beside = count
        if self._alone is not None:
            num_beside -= count % self._at_once
        parts = self._run_beside(rows, num_beside)
        if self._alone is not None:
            for index in range(num_beside, count):
                parts.append(self._alone.run(*(value[index : index + 1] for value in inputs)))
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))

    def _run_beside(self, rows: list[npt.NDArray[np.generic]], count: int) -> list[Outputs]:
        while len(self._requests) < count:
            self._requests.append(self._compiled.create_infer_request())
        requests = self._requests[:count]
        try:
            for index, request in enumerate(requests):
                request.start_async([value[index : index + 1] for value in rows])
        finally:
            # Also where one could not be started: the others must not run on into the next batch.
            error = _wait_for_all(requests)
        if error is not None:
            try:
                raise error
            finally:
                del error  # it knows this call, which holds the rows
        return [
            tuple(request.get_output_tensor(index).data for index in range(self._num_outputs))
            for request in requests
        ]


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


def _wait_for_all(requests: "Sequence[openvino.InferRequest]") -> RuntimeError | None:
    """Gives the first error of those that ended in one."""
    first = None
    for request in requests:
        try:
            request.wait()
        except RuntimeError as error:
            first = first or error.with_traceback(None)
    return first
