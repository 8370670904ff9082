"""The convolutions of a TensorFlow Lite file -> the weights of BlazeFace, without TensorFlow.

A TFLite file is a FlatBuffer (https://flatbuffers.dev/internals); the numbers of its fields are
those of TensorFlow's schema.fbs. Of it this reads what MediaPipe's file
``face_detection_full_range_sparse.tflite`` needs: convolutions, and constants of 16 or 32 bits that
are dense or sparse.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from model_store.faces.blazeface import BlazeFace, BlazeFaceConfig

Values = npt.NDArray[np.float32]
_Integers = npt.NDArray[np.int64]

# BuiltinOperator
_CONVOLUTION, _DEPTHWISE_CONVOLUTION, _DEQUANTIZE, _DENSIFY = 3, 4, 6, 124
# TensorType
_FLOATS = {0: "<f4", 1: "<f2"}
# SparseIndexVector
_INDEX_TYPES = {1: "<i4", 2: "<u2", 3: "u1"}


def load_blazeface(path: Path) -> BlazeFace:
    """Build BlazeFace with the weights of MediaPipe's full-range file.

    Raises:
        ValueError: the file is no TFLite file, or of another network.
    """
    network = BlazeFace(BlazeFaceConfig())
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    try:
        weights = read_convolutions(path)
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is no TFLite file that can be read ({error!r})") from error
    if len(weights) != len(layers):
        raise ValueError(f"{path} has {len(weights)} convolutions; the network has {len(layers)}")
    for index, (layer, (kernel, bias)) in enumerate(zip(layers, weights, strict=True)):
        if kernel.shape != tuple(layer.weight.shape):
            raise ValueError(
                f"{path}: convolution {index} is {kernel.shape}, not {tuple(layer.weight.shape)}"
            )
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(kernel))
            layer.bias.copy_(torch.from_numpy(bias))  # type: ignore[union-attr]
    return network.eval()


def read_convolutions(path: Path) -> list[tuple[Values, Values]]:
    """Read kernels, in torch's order (out, in / groups, rows, columns), and biases of a file.

    They come in the order in which the graph runs them.
    """
    data = path.read_bytes()
    model = _Table(data, struct.unpack_from("<I", data, 0)[0])
    codes = [max(c.number(0, "b"), c.number(3, "i")) for c in model.tables(1)]
    (graph,) = model.tables(2)
    tensors, buffers = graph.tables(0), model.tables(4)
    made_from: dict[int, int] = {}  # constants that the graph unpacks when it runs
    found = []
    for operator in graph.tables(3):
        code = codes[operator.number(0, "I")]
        inputs = operator.numbers(1, "<i4").tolist()
        if code in (_DEQUANTIZE, _DENSIFY):
            made_from[operator.numbers(2, "<i4").tolist()[0]] = inputs[0]
        elif code in (_CONVOLUTION, _DEPTHWISE_CONVOLUTION):
            kernel, bias = (
                _read_tensor(tensors, buffers, _origin(index, made_from)) for index in inputs[1:3]
            )
            # (out, rows, columns, in), or of depthwise ones (1, rows, columns, out)
            axes = (0, 3, 1, 2) if code == _CONVOLUTION else (3, 0, 1, 2)
            found.append((np.ascontiguousarray(kernel.transpose(axes)), bias))
    return found


def _origin(index: int, made_from: dict[int, int]) -> int:
    while index in made_from:
        index = made_from[index]
    return index


def _read_tensor(tensors: "list[_Table]", buffers: "list[_Table]", index: int) -> Values:
    tensor = tensors[index]
    shape = tuple(tensor.numbers(0, "<i4").tolist())
    values = buffers[tensor.number(2, "I")].numbers(0, "u1").view(_FLOATS[tensor.number(1, "b")])
    sparsity = tensor.table(6)
    if sparsity is None:
        return values.reshape(shape).astype(np.float32)
    return _Sparsity.read(sparsity).densify(values.astype(np.float32), shape)


@dataclass(frozen=True)
class _Sparsity:
    """How a sparse tensor's values lie in it: TACO's format, as TFLite has it.

    Attributes:
        order: Axis of the tensor, or of a block (counted behind those), of each level.
        block_axes: Axis of the tensor that each axis of a block divides.
        levels: Of each level its size, or (CSR) where each row's indices begin, and the indices.
    """

    order: list[int]
    block_axes: list[int]
    levels: "list[int | tuple[_Integers, _Integers]]"

    @staticmethod
    def read(table: "_Table") -> "_Sparsity":
        levels: list[int | tuple[_Integers, _Integers]] = []
        for level in table.tables(2):
            is_dense = level.number(0, "b") == 0
            levels.append(
                level.number(1, "i") if is_dense else (_index(level, 2), _index(level, 4))
            )
        order, block_axes = (table.numbers(field, "<i4").tolist() for field in (0, 1))
        return _Sparsity(order, block_axes, levels)

    def densify(self, values: Values, shape: Sequence[int]) -> Values:
        """Lay the values into an array of zeros."""
        dense = np.zeros(shape, np.float32)
        for place, value in zip(self._places(), values.tolist(), strict=True):
            dense[place] = value
        return dense

    def _places(self) -> list[tuple[int, ...]]:
        """Place in the tensor of every value, in order."""
        rows: list[tuple[int, ...]] = [()]
        for level in self.levels:
            if isinstance(level, int):
                rows = [(*row, index) for row, index in product(rows, range(level))]
            else:
                starts, indices = level
                rows = [
                    (*row, int(index))
                    for number, row in enumerate(rows)
                    for index in indices[starts[number] : starts[number + 1]]
                ]
        return [self._place(row) for row in rows]

    def _place(self, row: tuple[int, ...]) -> tuple[int, ...]:
        num_axes = len(self.order) - len(self.block_axes)
        place = [0] * num_axes
        for level, index in enumerate(row):
            axis = self.order[level]
            if axis < num_axes:
                place[axis] += index
            else:
                size = self.levels[level]
                axis = self.block_axes[axis - num_axes]
                # A block's own levels are dense and come after those of the whole tensor.
                place[axis] = place[axis] * (size if isinstance(size, int) else 1) + index
        return tuple(place)


def _index(level: "_Table", field: int) -> _Integers:
    vector = level.table(field + 1)
    if vector is None:
        raise ValueError("a sparse tensor lacks its indices")
    return vector.numbers(0, _INDEX_TYPES[level.number(field, "B")]).astype(np.int64)


@dataclass(frozen=True)
class _Table:
    """A FlatBuffer's table: fields by number, each of which may be absent."""

    data: bytes
    position: int

    def number(self, field: int, kind: str) -> int:
        """A scalar of a struct format; 0 where it is absent."""
        at = self._at(field)
        return 0 if at is None else int(struct.unpack_from(f"<{kind}", self.data, at)[0])

    def table(self, field: int) -> "_Table | None":
        at = self._at(field)
        return None if at is None else _Table(self.data, self._follow(at))

    def tables(self, field: int) -> "list[_Table]":
        at = self._at(field)
        if at is None:
            return []
        vector = self._follow(at)
        (count,) = struct.unpack_from("<I", self.data, vector)
        return [_Table(self.data, self._follow(vector + 4 + 4 * k)) for k in range(count)]

    def numbers(self, field: int, dtype: str) -> npt.NDArray[np.generic]:
        """A vector of scalars; empty where it is absent."""
        at = self._at(field)
        if at is None:
            return np.array([], dtype)
        vector = self._follow(at)
        (count,) = struct.unpack_from("<I", self.data, vector)
        return np.frombuffer(self.data, dtype, count, vector + 4)

    def _at(self, field: int) -> int | None:
        (to_fields,) = struct.unpack_from("<i", self.data, self.position)
        fields = self.position - to_fields
        (size,) = struct.unpack_from("<H", self.data, fields)
        entry = 4 + 2 * field
        if entry >= size:
            return None
        (offset,) = struct.unpack_from("<H", self.data, fields + entry)
        return self.position + offset if offset else None

    def _follow(self, at: int) -> int:
        return at + int(struct.unpack_from("<I", self.data, at)[0])
