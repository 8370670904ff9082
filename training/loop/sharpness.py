"""Sharpness-aware minimisation: gradients where the loss nearby is highest (arXiv:2010.01412).

Weights in a wide valley generalise better than weights in a narrow one as deep (Foret et al. 2021,
algorithm 1). It costs a second forward and backward pass a step.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def climbed(parameters: Sequence[nn.Parameter], *, radius: float) -> Iterator[None]:
    """Within the block, parameters lie ``radius`` up their present gradient, all taken together.

    Gradients stay as they are. Behind the block every value is the one before it, to the bit, also
    where a gradient was not finite.
    """
    moved = [parameter for parameter in parameters if parameter.grad is not None]
    kept = [parameter.detach().clone() for parameter in moved]
    norm = torch.nn.utils.get_total_norm([p.grad for p in moved if p.grad is not None])
    factor = radius / norm.clamp_min(torch.finfo(norm.dtype).tiny)
    try:
        with torch.no_grad():
            for parameter in moved:
                assert parameter.grad is not None
                parameter.add_(parameter.grad * factor)
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(moved, kept, strict=True):
                parameter.copy_(value)
