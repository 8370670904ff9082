"""Batch normalisation in training: its statistics over all processes, and their rescue.

torch's SyncBatchNorm has no CPU implementation, so that two processes on CPUs would learn something
else than one does. Networks here normalise little by batches (the pooled descriptors of split
attention; the small Landmarker), so two plain collectives a layer cost nothing that matters.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.modules.batchnorm import _BatchNorm


def share_batch_statistics(network: nn.Module) -> None:
    """Let every batch norm of a network take its statistics from the batch of all processes.

    Parameters, buffers and their names stay. All processes must hold equally many faces.
    """
    for name, child in network.named_children():
        if isinstance(child, _BatchNorm):
            setattr(network, name, _SharedBatchNorm(child))
        else:
            share_batch_statistics(child)


class _SharedBatchNorm(_BatchNorm):
    """BatchNorm1d or 2d over the batch of all processes."""

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.train(norm.training)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        """Any number of dimensions is taken."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """(N, C, ...) -> the same, normalised."""
        if not self.training:
            return super().forward(input)
        features = input.float()  # (N, C, ...)
        dims = [0, *range(2, features.dim())]
        shape = [1, -1] + [1] * (features.dim() - 2)
        mean = _mean_over_processes(features.mean(dims))
        centred = features - mean.view(shape)
        variance = _mean_over_processes(centred.square().mean(dims))
        count = features.numel() // self.num_features * torch.distributed.get_world_size()
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(shape) + self.bias.view(shape)).to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked.add_(1)


def _mean_over_processes(values: Tensor) -> Tensor:
    total: Tensor = _SumOverProcesses.apply(values)  # type: ignore[no-untyped-call]
    return total / torch.distributed.get_world_size()


class _SumOverProcesses(torch.autograd.Function):
    """A sum that every process's loss depends on: the gradients are summed alike."""

    @staticmethod
    def forward(_ctx: FunctionCtx, values: Tensor) -> Tensor:
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total


class KeptBuffers:
    """The buffers that a forward pass changes, so that a step can be undone.

    A batch with a value that is not finite would stay in the running statistics for good.
    """

    def __init__(self, network: nn.Module) -> None:
        norms = (module for module in network.modules() if isinstance(module, _BatchNorm))
        self._buffers = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
        self._kept = [buffer.clone() for buffer in self._buffers]

    def keep(self) -> None:
        """Remember the present values."""
        for kept, buffer in zip(self._kept, self._buffers, strict=True):
            kept.copy_(buffer)

    def restore(self) -> None:
        """Go back to the remembered values."""
        for kept, buffer in zip(self._kept, self._buffers, strict=True):
            buffer.copy_(kept)
