"""OpenVINO on a CPU: networks of PyTorch converted, compiled, kept in a cache, and run.

OpenVINO's package reports its use to its maker as soon as it is imported. It is never let to: the
module that reports is barred before the import, and OpenVINO then takes its own stub for it.
"""

import importlib
import io
import logging
import math
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from service.engine.graph_cache import GraphCache, digest_of_code
from service.engine.openvino_graphs import OpenVinoGraph, RowGraph
from service.engine.openvino_rewrites import rewrite
from service.engine.tracing import trace
from service.errors import EngineUnavailableError

if TYPE_CHECKING:
    import openvino

logger = logging.getLogger(__name__)

Dtype = Literal["float32", "bfloat16"]
Rows = Literal["any", "one a core", "one"]
"""What a graph computes at once: a batch of any size on all cores, one row on each core (with more
than four on some), or one row on all cores."""

_TELEMETRY = "openvino_telemetry"
_DEVICE = "CPU"
_ANY = -1
_MOST_STREAMS = 4
_ENDINGS: dict[Rows, str] = {"any": "", "one a core": "-row", "one": "-alone"}
_HINTS: dict[Dtype, str] = {"float32": "f32", "bfloat16": "bf16"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Conversion:
    """A network and what its conversion needs to know.

    Attributes:
        name: for the cache's file.
        network: in eval mode on the CPU, float32; returns a tensor or a tuple of tensors.
        examples: inputs.
        weights_sha256: digest of what the network was loaded from.
        free_dimensions: of every input, those that may have any size; the first is the batch.
    """

    name: str
    network: nn.Module
    examples: tuple[Tensor, ...]
    weights_sha256: str
    free_dimensions: tuple[int, ...] = (0,)


class OpenVinoRuntime:
    """Compiles networks for this machine's CPU."""

    def __init__(self, *, num_threads: int, cache: GraphCache | None) -> None:
        self._openvino = _import_openvino()
        self._core = _open_core(self._openvino)
        self._num_threads = num_threads
        self._cache = cache

    @property
    def has_bfloat16(self) -> bool:
        """Whether the CPU computes in it."""
        return "BF16" in self._core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")

    @property
    def num_streams(self) -> int:
        """How many rows are computed at once; see `num_streams`."""
        return num_streams(self._num_threads)

    @contextmanager
    def compiler(self) -> Iterator["GraphCompiler"]:
        """What compiles graphs beside each other until the block ends, where all are done.

        What the cache holds is unpacked by one core each, which leaves the others idle.
        """
        with ThreadPoolExecutor(self._num_threads) as threads:
            yield GraphCompiler(self, threads)

    def compile(
        self,
        conversion: Conversion,
        network: Callable[[], "openvino.Model"],
        *,
        dtype: Dtype,
        rows: Rows,
    ) -> "openvino.CompiledModel":
        """Compile a graph for this CPU, from the cache if that holds it.

        Args:
            conversion: of the network.
            network: gives the converted network, which is then the graph's.
            dtype: arithmetic.
            rows: what it is to compute at once.

        Raises:
            EngineUnavailableError: the network cannot be converted.
        """
        config = {
            "INFERENCE_PRECISION_HINT": _HINTS[dtype],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self._num_threads,
            "NUM_STREAMS": self.num_streams if rows == "one a core" else 1,
            # Replicas on one machine would all be pinned to its first cores.
            "ENABLE_CPU_PINNING": False,
        }
        name = f"{conversion.name}-{dtype}{_ENDINGS[rows]}"
        key = self._key(conversion, dtype)
        kept = None if self._cache is None else self._cache.read(name, key=key)
        if kept is not None:
            try:
                return self._core.import_model(kept, _DEVICE, config)
            except RuntimeError as error:
                logger.warning("OpenVINO cannot read %s in its cache: %s", name, error)
        try:
            model = network()
            if rows != "any":
                model.reshape(self._shapes(model, conversion, batch_size=1))
            compiled = self._core.compile_model(model, _DEVICE, config)
        except (RuntimeError, self._openvino.frontend.GeneralFailure) as error:
            raise EngineUnavailableError(
                f"OpenVINO {self._openvino.__version__} cannot convert {conversion.name}: {error}"
            ) from error
        if self._cache is not None:
            exported = io.BytesIO()
            compiled.export_model(exported)
            self._cache.write(name, exported.getvalue(), key=key)
        return compiled

    def convert(self, conversion: Conversion) -> "openvino.Model":
        """Convert a network, its batch of any size, without compiling it."""
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        frontend = FrontEndManager().load_by_framework("pytorch")
        traced = trace(conversion.network, conversion.examples)
        decoder = TorchScriptPythonDecoder(traced, example_input=conversion.examples)
        converted = frontend.convert(frontend.load(decoder))
        converted.reshape(self._shapes(converted, conversion))
        rewrite(converted)
        return converted

    def _shapes(
        self, network: "openvino.Model", conversion: Conversion, *, batch_size: int = _ANY
    ) -> "dict[openvino.Output, openvino.PartialShape]":
        """The shapes of its inputs, for a batch of one size or of any."""
        return {
            port: self._openvino.PartialShape([batch_size, *_free(example.shape, conversion)[1:]])
            for port, example in zip(network.inputs, conversion.examples, strict=True)
        }

    def save(self, conversion: Conversion, out: Path) -> None:
        """Write a network in OpenVINO's own form: `out` and, beside it, its weights."""
        # In float32: half precision would round what the conversion has multiplied.
        self._openvino.save_model(self.convert(conversion), out, compress_to_fp16=False)

    def read(self, path: Path) -> OpenVinoGraph:
        """Read a network in OpenVINO's own form or in ONNX, to be computed in float32."""
        config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": self._num_threads}
        return OpenVinoGraph(self._core.compile_model(path, _DEVICE, config))

    def _key(self, conversion: Conversion, dtype: Dtype) -> str:
        """Names everything that a compiled graph depends on but its shapes."""
        parts = (
            conversion.weights_sha256,
            dtype,
            self._openvino.__version__,
            self._core.get_property(_DEVICE, "FULL_DEVICE_NAME"),
            *sorted(self._core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")),
            digest_of_code(),
        )
        return sha256("\n".join(parts).encode()).hexdigest()


class GraphCompiler:
    """Takes orders for graphs; made by `OpenVinoRuntime.compiler`.

    A network is converted once for all of its graphs, and one after the other, which is all that
    PyTorch's tracing bears.
    """

    def __init__(self, runtime: OpenVinoRuntime, threads: ThreadPoolExecutor) -> None:
        self._runtime = runtime
        self._threads = threads
        self._networks: dict[Conversion, openvino.Model] = {}
        self._converting = threading.Lock()

    def order(self, conversion: Conversion, *, dtype: Dtype) -> Future[OpenVinoGraph]:
        """Order a graph that takes any batch; see `OpenVinoRuntime.compile`."""
        return self._threads.submit(
            lambda: OpenVinoGraph(self._compile(conversion, dtype, rows="any"))
        )

    def order_rows(
        self, conversion: Conversion, *, dtype: Dtype, shares_cores: bool = False
    ) -> Future[RowGraph]:
        """Order a graph that computes a batch row by row; see `OpenVinoRuntime.compile`.

        Args:
            conversion: of the network.
            dtype: arithmetic.
            shares_cores: whether rows that would leave cores idle are computed by all of them, one
                after the other, which a second graph is for. Its results may differ by rounding.
        """

        def compile_both() -> RowGraph:
            rows = self._compile(conversion, dtype, rows="one a core")
            at_once = self._runtime.num_streams
            if not shares_cores or at_once == 1:
                return RowGraph(rows)
            alone = OpenVinoGraph(self._compile(conversion, dtype, rows="one"))
            return RowGraph(rows, alone=alone, at_once=at_once)

        return self._threads.submit(compile_both)

    def _compile(
        self, conversion: Conversion, dtype: Dtype, *, rows: Rows
    ) -> "openvino.CompiledModel":
        return self._runtime.compile(
            conversion, lambda: self._converted(conversion), dtype=dtype, rows=rows
        )

    def _converted(self, conversion: Conversion) -> "openvino.Model":
        """A copy of the converted network."""
        with self._converting:
            if conversion not in self._networks:
                self._networks[conversion] = self._runtime.convert(conversion)
            return self._networks[conversion].clone()


def num_streams(num_threads: int) -> int:
    """How many rows are computed at once by so many threads, which are shared out evenly.

    One thread a row takes the least time in all; more than four rows at once would leave cores idle
    where a batch has fewer.
    """
    return num_threads // math.ceil(num_threads / _MOST_STREAMS)


def _free(shape: Sequence[int], conversion: Conversion) -> list[int]:
    """An input's shape, `_ANY` where any size is taken."""
    return [
        _ANY if dimension in conversion.free_dimensions else size
        for dimension, size in enumerate(shape)
    ]


def _import_openvino() -> ModuleType:
    sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise EngineUnavailableError(
            f"OpenVINO cannot be imported ({error}); pip install openvino"
        ) from error


def _open_core(package: ModuleType) -> "openvino.Core":
    """Open OpenVINO's core, the plugin for CPUs loaded, on a thread that then ends.

    The plugin gives the thread that loads it a stack for signals and frees it with the core. Of two
    cores of one thread that go in the order in which they came, the second puts back the first
    one's, which is gone: the next signal to that thread would end the process.
    """

    def load() -> "openvino.Core":
        core: openvino.Core = package.Core()
        core.get_property(_DEVICE, "FULL_DEVICE_NAME")
        return core

    with ThreadPoolExecutor(1) as loader:
        return loader.submit(load).result()
