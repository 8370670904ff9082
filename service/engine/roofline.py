"""What the device could do at most: its rate of multiplying matrices, its memory's bandwidth.

Both are measured, by PyTorch: a data sheet knows neither the clock nor the neighbours.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

# Large enough that the product outlasts its launch: 30 ms on two cores, 1.5 ms on an H100.
_MATRIX_SIDES = {"cpu": 1536, "cuda": 8192}
_COPIED_BYTES = 2**28  # past every CPU's caches
_REPETITIONS = 5


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """A device's limits in one arithmetic.

    Attributes:
        flops: floating-point operations a second in a large matrix product; a multiply-add is two.
        bytes_per_second: read and written in a large copy.
        bytes_per_number: of the arithmetic.
    """

    flops: float
    bytes_per_second: float
    bytes_per_number: int

    def seconds(self, work: "Work", *, num_faces: int) -> float:
        """The least time for a batch: for its arithmetic, or for reading the weights once."""
        weight_bytes = work.num_parameters * self.bytes_per_number
        return max(
            num_faces * work.flops_per_face / self.flops, weight_bytes / self.bytes_per_second
        )


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a network asks of a device, whoever computes it."""

    flops_per_face: float
    num_parameters: int


def measure_roofline(*, device: torch.device, dtype: torch.dtype) -> Roofline:
    """Measure, the best of some repetitions, with the calling thread's number of torch threads."""
    side = _MATRIX_SIDES[device.type]
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    source = torch.zeros(_COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return Roofline(
        flops=2 * side**3 / _best_seconds(lambda: torch.mm(one, other), device),
        bytes_per_second=2 * _COPIED_BYTES / _best_seconds(lambda: target.copy_(source), device),
        bytes_per_number=dtype.itemsize,
    )


def measure_work(network: nn.Module, inputs: tuple[Tensor, ...]) -> Work:
    """Count the operations of a network's matrix products and convolutions on some faces."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*inputs)
    return Work(
        flops_per_face=counter.get_total_flops() / len(inputs[0]),
        num_parameters=sum(p.numel() for p in network.parameters()),
    )


def _best_seconds(work: Callable[[], Tensor], device: torch.device) -> float:
    times = []
    for _ in range(_REPETITIONS + 1):  # the first one warms up
        started_at = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started_at)
    return min(times[1:])
