"""In which precision a network's forward pass runs."""

from typing import Literal

import torch

from model_store.bfloat16 import why_not_bfloat16
from training.config import Precision


def forward_autocast(device: torch.device, *, precision: Precision) -> torch.autocast:
    """Context for a forward pass: bfloat16 autocast, or none.

    Only the network belongs inside: resampling and blurring of images need float32.
    """
    is_half = resolve_precision(precision, device) == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_half)


def resolve_precision(precision: Precision, device: torch.device) -> Literal["float32", "bfloat16"]:
    """What "auto" means on a device: bfloat16 where that is the faster one, float32 elsewhere."""
    if precision != "auto":
        return precision
    return "bfloat16" if _gains_by_bfloat16(device) else "float32"


def _gains_by_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere and later
    return why_not_bfloat16() is None
