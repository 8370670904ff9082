"""The engine on PyTorch, call by call, on a CPU or a CUDA device: the reference; it always runs."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType

import torch
from torch import Tensor

from model_store.architectures import Upscaler, needs_landmarks
from model_store.emotion.recoverability import AgreementCalibration
from service.engine.base import EngineDescription, ServedModel
from service.engine.device_engine import DeviceEngine
from service.engine.expression_reader import ExpressionReader
from service.engine.landmark_finders import FoundLandmarks, LandmarkFinder
from service.engine.upscaling import LandmarkedUpscaler, TorchRun

_CHANNELS_LAST_FROM_PX = 32

_Precision = Callable[[], AbstractContextManager[object]]


def torch_engine(
    networks: Sequence[tuple[ServedModel, Upscaler]],
    finder: LandmarkFinder,
    reader: ExpressionReader | None = None,
    calibrations: Mapping[str, AgreementCalibration] = MappingProxyType({}),
    *,
    device: torch.device,
    cpu_dtype: torch.dtype = torch.float32,
    passed_over: Mapping[str, str] = MappingProxyType({}),
    max_batch_size: int = 1,
    memory_limit_bytes: int | None = None,
) -> DeviceEngine:
    """Put networks that lie on a device behind an engine; finder and reader use the same device.

    Args:
        networks: not copied.
        finder: finds the landmarks; closed with the engine.
        reader: reads expressions, if any.
        calibrations: see `Engine.calibrations`.
        device: where the networks lie.
        cpu_dtype: arithmetic of finder and networks on a CPU; elsewhere it is float32.
        passed_over: see `EngineDescription`.
        max_batch_size: the largest batch to warm up.
        memory_limit_bytes: that this process may use; None where no limit is known.
    """
    is_reduced = device.type == "cpu" and cpu_dtype == torch.bfloat16

    def precision() -> AbstractContextManager[object]:
        return torch.autocast("cpu", dtype=cpu_dtype) if is_reduced else nullcontext()

    reduced = _ReducedFinder(finder, precision)
    return DeviceEngine(
        [
            (
                model,
                LandmarkedUpscaler(
                    TorchRun(_in_fastest_format(model, network, device), precision=precision),
                    reduced if needs_landmarks(network.config) else None,
                    device=device,
                ),
            )
            for model, network in networks
        ],
        reader,
        calibrations,
        description=EngineDescription(
            name="torch",
            device=str(device),
            dtype="bfloat16" if is_reduced else "float32",
            passed_over=passed_over,
        ),
        max_batch_size=max_batch_size,
        memory_limit_bytes=memory_limit_bytes,
        on_close=finder.close,
    )


class _ReducedFinder:
    """A finder in the arithmetic of the networks."""

    def __init__(self, finder: LandmarkFinder, precision: _Precision) -> None:
        self._finder = finder
        self._precision = precision

    def find(self, lr: Tensor) -> FoundLandmarks:
        with self._precision():
            return self._finder.find(lr)

    def close(self) -> None:
        self._finder.close()


def _in_fastest_format(model: ServedModel, network: Upscaler, device: torch.device) -> Upscaler:
    """Lay the weights out as the trunk is fastest, which the images then follow.

    Channels last, but for small maps on a CPU, where a group norm over them outweighs what the
    convolutions gain: measured in bfloat16 on two cores, batches of 8, a face takes 31 ms in
    channels last and 16 ms without at 16 px, 29 ms and 35 ms at 32 px.
    """
    is_small = device.type == "cpu" and model.lr_size_px < _CHANNELS_LAST_FROM_PX
    memory_format = torch.contiguous_format if is_small else torch.channels_last
    # The annotations of torch do not know this argument of `to`.
    network.to(memory_format=memory_format)  # type: ignore[call-overload]
    return network
