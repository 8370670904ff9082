"""OpenVINO on a CPU: networks of PyTorch converted, compiled, kept in a cache, and run.

OpenVINO's package reports its use to its maker as soon as it is imported. It is never let to: the
module that reports is barred before the import, and OpenVINO then takes its own stub for it.
"""

import importlib
import io
import logging
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from service.engine.graph_cache import GraphCache, digest_of_code
from service.engine.tracing import trace
from service.errors import EngineUnavailableError

if TYPE_CHECKING:
    import openvino

logger = logging.getLogger(__name__)

Dtype = Literal["float32", "bfloat16"]

_TELEMETRY = "openvino_telemetry"
_DEVICE = "CPU"
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


class OpenVinoGraph:
    """A compiled network; used by one thread at a time."""

    def __init__(self, compiled: "openvino.CompiledModel") -> None:
        self._request = compiled.create_infer_request()
        self._num_outputs = len(compiled.outputs)

    def run(self, *inputs: Tensor) -> tuple[npt.NDArray[np.generic], ...]:
        """Compute all outputs; they are the caller's, the next run leaves them alone."""
        self._request.infer([value.contiguous().numpy() for value in inputs])
        return tuple(
            np.array(self._request.get_output_tensor(index).data)
            for index in range(self._num_outputs)
        )


class OpenVinoRuntime:
    """Compiles networks for this machine's CPU."""

    def __init__(self, *, num_threads: int, cache: GraphCache | None) -> None:
        self._openvino = _import_openvino()
        self._core = _open_core(self._openvino)
        self._num_threads = num_threads
        self._cache = cache
        self._converting = threading.Lock()

    @property
    def has_bfloat16(self) -> bool:
        """Whether the CPU computes in it."""
        return "BF16" in self._core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")

    def compile_all(
        self, conversions: Sequence[Conversion], *, dtype: Dtype
    ) -> list[OpenVinoGraph]:
        """Compile networks beside each other; see `compile`.

        What the cache holds is unpacked by one core each, which leaves the others idle.
        """
        with ThreadPoolExecutor(self._num_threads) as compilers:
            return list(compilers.map(lambda one: self.compile(one, dtype=dtype), conversions))

    def compile(self, conversion: Conversion, *, dtype: Dtype) -> OpenVinoGraph:
        """Compile a network for one arithmetic, from the cache if it holds it.

        Raises:
            EngineUnavailableError: it cannot be converted.
        """
        config = {
            "INFERENCE_PRECISION_HINT": _HINTS[dtype],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self._num_threads,
            # Replicas on one machine would all be pinned to its first cores.
            "ENABLE_CPU_PINNING": False,
        }
        key = self._key(conversion, dtype)
        name = f"{conversion.name}-{dtype}"
        kept = None if self._cache is None else self._cache.read(name, key=key)
        if kept is not None:
            try:
                return OpenVinoGraph(self._core.import_model(kept, _DEVICE, config))
            except RuntimeError as error:
                logger.warning("OpenVINO cannot read %s in its cache: %s", name, error)
        try:
            with self._converting:  # PyTorch traces one network at a time
                compiled = self._core.compile_model(self.convert(conversion), _DEVICE, config)
        except (RuntimeError, self._openvino.frontend.GeneralFailure) as error:
            raise EngineUnavailableError(
                f"OpenVINO {self._openvino.__version__} cannot convert {conversion.name}: {error}"
            ) from error
        if self._cache is not None:
            exported = io.BytesIO()
            compiled.export_model(exported)
            self._cache.write(name, exported.getvalue(), key=key)
        return OpenVinoGraph(compiled)

    def convert(self, conversion: Conversion) -> "openvino.Model":
        """Convert a network, its batch of any size, without compiling it."""
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        frontend = FrontEndManager().load_by_framework("pytorch")
        traced = trace(conversion.network, conversion.examples)
        decoder = TorchScriptPythonDecoder(traced, example_input=conversion.examples)
        converted = frontend.convert(frontend.load(decoder))
        converted.reshape(
            {
                port: self._openvino.PartialShape(_free(example.shape, conversion))
                for port, example in zip(converted.inputs, conversion.examples, strict=True)
            }
        )
        return converted

    def save(self, conversion: Conversion, out: Path) -> None:
        """Write a network in OpenVINO's own form: `out` and, beside it, its weights."""
        # In float32: half precision would round what the conversion has multiplied.
        self._openvino.save_model(self.convert(conversion), out, compress_to_fp16=False)

    def read(self, path: Path) -> OpenVinoGraph:
        """Read a network in OpenVINO's own form or in ONNX, to be computed in float32."""
        config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": self._num_threads}
        return OpenVinoGraph(self._core.compile_model(path, _DEVICE, config))

    def _key(self, conversion: Conversion, dtype: Dtype) -> str:
        """Names everything that a compiled graph depends on."""
        parts = (
            conversion.weights_sha256,
            dtype,
            self._openvino.__version__,
            self._core.get_property(_DEVICE, "FULL_DEVICE_NAME"),
            *sorted(self._core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")),
            digest_of_code(),
        )
        return sha256("\n".join(parts).encode()).hexdigest()


def _free(shape: Sequence[int], conversion: Conversion) -> list[int]:
    """An input's shape, -1 where any size is taken."""
    return [
        -1 if dimension in conversion.free_dimensions else size
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
