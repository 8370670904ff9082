"""Recording what a network computes, as TorchScript: OpenVINO and others read that."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning


def trace(network: nn.Module, examples: tuple[Tensor, ...]) -> torch.jit.ScriptModule:
    """Record a network in eval mode; sizes other than the batch's are those of the examples."""
    with torchscript_allowed(), torch.no_grad():
        traced: torch.jit.ScriptModule = torch.jit.trace(network, examples, check_trace=False)
    return traced


@contextmanager
def torchscript_allowed() -> Iterator[None]:
    """Say nothing of TorchScript's end of development.

    Nor of shapes that are checked in Python, which here are those of the examples.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
