"""On which device to compute: what the settings ask for, and what stands in for it."""

import logging

import torch

from service.errors import StartupError
from service.settings import Settings

logger = logging.getLogger(__name__)


def devices_of(settings: Settings) -> list[torch.device]:
    """What to load on, the best first: the CPU stands in for a GPU that nobody insists on."""
    best = _find_device(settings)
    is_free = settings.device == "auto" and settings.engine in ("auto", "torch")
    return [best, torch.device("cpu")] if best.type == "cuda" and is_free else [best]


def missing_driver(settings: Settings) -> dict[str, str]:
    """What to tell where PyTorch is built for GPUs and finds none; a CPU's build expects none."""
    if settings.device != "auto" or torch.version.cuda is None or torch.cuda.is_available():
        return {}
    reason = (
        f"PyTorch is built for CUDA {torch.version.cuda} and finds no device; install the driver, "
        "or let the container have the GPU"
    )
    logger.warning("engine cuda is passed over: %s", reason)
    return {"cuda in bfloat16": reason}


def _find_device(settings: Settings) -> torch.device:
    name = settings.device
    if settings.engine == "openvino":
        if name.startswith("cuda"):
            raise StartupError(
                f"AFFECTSR_ENGINE is openvino and AFFECTSR_DEVICE is {name}; OpenVINO computes on "
                "the CPU here: set the device to auto or cpu, or the engine to auto"
            )
        return torch.device("cpu")
    if settings.engine == "cuda" and (name == "cpu" or not torch.cuda.is_available()):
        raise StartupError(
            f"AFFECTSR_ENGINE is cuda, AFFECTSR_DEVICE is {name} and PyTorch sees "
            f"{torch.cuda.device_count()} CUDA devices; set the engine to auto, or the device to "
            "auto and install a CUDA build of PyTorch and its driver"
        )
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise StartupError(
            f"AFFECTSR_DEVICE is {name} and PyTorch sees {torch.cuda.device_count()} CUDA devices; "
            "set it to auto or cpu, or install a CUDA build of PyTorch and its driver"
        )
    return device
