"""Writing a model as one file for other programs, and checking that file against the model.

The file takes 8-bit faces and gives 8-bit results; see `FaceGraph`. Its batch may have any size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from service.engine.accuracy import psnr_db, sample_faces
from service.engine.face_graph import FaceGraph
from service.engine.grid import faces_on_grid
from service.engine.openvino_runtime import Conversion, OpenVinoRuntime
from service.engine.tracing import torchscript_allowed, trace
from service.errors import EngineUnavailableError

ExportFormat = Literal["onnx", "openvino", "torchscript"]

MAX_LEVELS = 1
"""How far a colour of the exported file may be from the model's, in levels of 255."""

SUFFIXES: Mapping[ExportFormat, str] = MappingProxyType(
    {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".pt"}
)

_OUTPUTS = ("images", "is_finite", "confidence")
# From 18 on ONNX has what the networks need.
_ONNX_OPSET = 18


@dataclass(frozen=True, kw_only=True)
class ExportCheck:
    """How far the file's results are from the model's on the built-in faces, alone and together.

    Attributes:
        levels: the most that a colour is off, of 255.
        psnr_db: over all pixels; infinite if all are equal.
        confidence: the most that a confidence is off.
    """

    levels: int
    psnr_db: float
    confidence: float


def export_model(
    graph: FaceGraph, *, size_px: int, form: ExportFormat, out: Path, name: str
) -> ExportCheck:
    """Write the graph to a file and read it back.

    Args:
        graph: on the CPU, in eval mode.
        size_px: side of the network's grid.
        form: of the file.
        out: the file; OpenVINO's `.xml` has a `.bin` beside it, which holds the weights.
        name: of the model, for messages.

    Raises:
        EngineUnavailableError: what the format needs is not installed, or the model has no such
            form.
        ValueError: the file's suffix is another format's, or its results are not the model's.
        OSError: the file cannot be written.
    """
    if out.suffix != SUFFIXES[form]:
        raise ValueError(f"{out} must end in {SUFFIXES[form]} to hold {form}")
    faces = faces_on_grid(sample_faces(), grid_px=size_px)
    conversion = Conversion(name=name, network=graph, examples=(faces[:2],), weights_sha256="")
    with torchscript_allowed():
        check = _compare(_WRITERS[form](conversion, out), graph, faces)
    if check.levels > MAX_LEVELS:
        raise ValueError(
            f"{out} moves a colour by {check.levels} levels of 255 and {MAX_LEVELS} is the most; "
            "do not use it"
        )
    return check


_Run = Callable[[Tensor], tuple[npt.NDArray[np.generic], ...]]
"""The file as it was read back: (N, h, h, 3) uint8 to the graph's outputs."""


def _write_torchscript(conversion: Conversion, out: Path) -> _Run:
    torch.jit.save(trace(conversion.network, conversion.examples), out)
    network = torch.jit.load(out)
    return lambda faces: tuple(value.numpy() for value in network(faces))


def _write_openvino(conversion: Conversion, out: Path) -> _Run:
    runtime = _runtime()
    runtime.save(conversion, out)
    return runtime.read(out).run


def _write_onnx(conversion: Conversion, out: Path) -> _Run:
    try:
        # torch's exporter that reads traces; its other one wants packages that mediapipe forbids.
        torch.onnx.export(
            conversion.network,
            conversion.examples,
            out,
            dynamo=False,
            opset_version=_ONNX_OPSET,
            input_names=["faces"],
            output_names=list(_OUTPUTS),
            dynamic_axes={port: {0: "N"} for port in ("faces", *_OUTPUTS)},
        )
    except torch.onnx.OnnxExporterError as error:
        raise EngineUnavailableError(
            f'{conversion.name} cannot be written as ONNX ({error}); pip install "affectsr[onnx]"'
        ) from error
    return _runtime().read(out).run


_WRITERS: Mapping[ExportFormat, Callable[[Conversion, Path], _Run]] = MappingProxyType(
    {"onnx": _write_onnx, "openvino": _write_openvino, "torchscript": _write_torchscript}
)


def _runtime() -> OpenVinoRuntime:
    return OpenVinoRuntime(num_threads=torch.get_num_threads(), cache=None)


@torch.inference_mode()
def _compare(run: _Run, graph: FaceGraph, faces: Tensor) -> ExportCheck:
    images, _, confidence = (value.numpy() for value in graph(faces))
    together, *singles = (run(batch) for batch in (faces, *faces.split(1)))
    alone = tuple(np.concatenate(outputs) for outputs in zip(*singles, strict=True))
    return ExportCheck(
        levels=max(int(np.abs(found[0].astype(int) - images).max()) for found in (together, alone)),
        psnr_db=min(psnr_db(list(found[0]), list(images)) for found in (together, alone)),
        confidence=max(float(np.abs(found[2] - confidence).max()) for found in (together, alone)),
    )
