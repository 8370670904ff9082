"""Whether a CPU gains by computing in bfloat16.

That it has the instructions does not say so. AMX does sixteen times the multiplications of float32
in a cycle; a Xeon of the same family whose AMX the virtual machine hid did half of them. So it is
measured.
"""

import math
import time
from functools import cache

import torch
import torch.nn.functional as F

_ROUNDS = 5
# Of AffectSRNet's own convolutions, one at half the result's size: (N, C, H, W).
_SHAPE = (1, 64, 64, 64)
# What is saved at least, for colours that are a third of a level in 255 off.
_WORTHWHILE = 0.9


@cache
def why_not_bfloat16() -> str | None:
    """Say why this CPU is to compute in float32; None where bfloat16 is the faster one.

    Takes some 30 ms, once a process.
    """
    capabilities = torch.cpu.get_capabilities()
    if not any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16")):
        # Emulated it is the slower one by far.
        return "this CPU does not compute in bfloat16"
    if _time_over_float32() > _WORTHWHILE:
        return "this CPU is no faster in bfloat16 than in float32"
    return None


@torch.inference_mode()
def _time_over_float32() -> float:
    """Time of a convolution in bfloat16 over its time in float32."""
    channels = _SHAPE[1]
    pixels = torch.ones(_SHAPE).to(memory_format=torch.channels_last)
    weights = torch.ones(channels, channels, 3, 3)
    inputs = [(pixels.to(dtype), weights.to(dtype)) for dtype in (torch.float32, torch.bfloat16)]
    fastest = [math.inf, math.inf]
    for _ in range(1 + _ROUNDS):  # the first, of each, makes its kernel
        for index, (image, kernels) in enumerate(inputs):
            started_at = time.perf_counter()
            F.conv2d(image, kernels, padding=1)
            fastest[index] = min(fastest[index], time.perf_counter() - started_at)
    in_float32, in_bfloat16 = fastest
    return in_bfloat16 / in_float32
