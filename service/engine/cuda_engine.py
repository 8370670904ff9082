"""The engine on a GPU: every upscaler as CUDA graphs, expressions by PyTorch in float32."""

from collections.abc import Mapping

import torch

from model_store.affectsrnet.network import AffectSRNet
from service.engine.base import EngineDescription
from service.engine.cuda_upscaler import CudaUpscaler, to_bfloat16
from service.engine.device_engine import DeviceEngine
from service.engine.expression_reader import ExpressionReader
from service.engine.face_graph import FaceGraph
from service.engine.loaded_models import LoadedModels
from service.engine.warm_up import batch_sizes
from service.errors import EngineUnavailableError


def cuda_engine(
    models: LoadedModels,
    reader: ExpressionReader | None,
    *,
    device: torch.device,
    min_confidence: float,
    passed_over: Mapping[str, str],
    max_batch_size: int,
    memory_limit_bytes: int | None,
    captures: bool = True,
) -> DeviceEngine:
    """Capture a graph of every model for batches of 1, 2, 4, ... and the largest.

    Args:
        models: on the device; copied.
        reader: reads expressions on the device, if any.
        device: the GPU; any device without capture.
        min_confidence: below it a face is upscaled by the mean face.
        passed_over: see `EngineDescription`.
        max_batch_size: of the largest graph.
        memory_limit_bytes: that this process may use; None where no limit is known.
        captures: off in tests on a CPU.

    Raises:
        EngineUnavailableError: a model is of another architecture than AffectSRNet, or the graphs
            do not fit the device's memory or cannot be captured.
    """
    upscalers = []
    for model, network in models.upscalers:
        if not isinstance(network, AffectSRNet):
            raise EngineUnavailableError(
                f"{model.reference} is no AffectSRNet, which is what CUDA graphs are made for"
            )
        graph = FaceGraph(
            to_bfloat16(network), models.landmarker, min_confidence=min_confidence
        ).to(device)
        try:
            upscaler = CudaUpscaler(
                graph.eval(),
                size_px=model.lr_size_px,
                batch_sizes=batch_sizes(max_batch_size),
                device=device,
                captures=captures,
            )
        except RuntimeError as error:
            raise EngineUnavailableError(
                f"{model.reference} cannot be captured: {str(error).splitlines()[0]}"
            ) from error
        upscalers.append((model, upscaler))
    return DeviceEngine(
        upscalers,
        reader,
        models.calibrations,
        description=EngineDescription(
            name="cuda", device=str(device), dtype="bfloat16", passed_over=passed_over
        ),
        max_batch_size=max_batch_size,
        memory_limit_bytes=memory_limit_bytes,
    )
