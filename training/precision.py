"""In which precision a network's forward pass runs."""

from functools import cache
from typing import Literal

import torch

from training.config import Precision


def forward_autocast(device: torch.device, *, precision: Precision) -> torch.autocast:
    """Context for a forward pass: bfloat16 autocast, or none.

    Only the network belongs inside: resampling and blurring of images need float32.
    """
    is_half = resolve_precision(precision, device) == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_half)


def resolve_precision(precision: Precision, device: torch.device) -> Literal["float32", "bfloat16"]:
    """What "auto" means on a device: bfloat16 where it computes in it, float32 elsewhere."""
    if precision != "auto":
        return precision
    return "bfloat16" if _computes_in_bfloat16(device) else "float32"


@cache
def _computes_in_bfloat16(device: torch.device) -> bool:
    # Where it has to be emulated it is the slower one.
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere and later
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))
