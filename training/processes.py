"""The processes that share a training: one, or several that torchrun started, on CPU or GPUs.

The one place that knows Accelerate. It finds the device, joins the processes and carries their
collectives. We do not wrap the network in its DistributedDataParallel: tasks call parts of their
networks (the landmark graph alone), and the gradients of 6 M parameters travel in one piece.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from training.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    from accelerate import Accelerator

DeviceChoice = Literal["auto", "cpu", "cuda"]


class Processes:
    """This process among those that share a training; with one, no collective is made.

    Every method that combines is called by all processes, in the same order.

    Attributes:
        device: Where this process computes.
        index: Its number, from 0.
        count: How many there are.
    """

    def __init__(self, accelerator: "Accelerator") -> None:
        self._accelerator = accelerator
        self.device: torch.device = accelerator.device
        self.index: int = accelerator.process_index
        self.count: int = accelerator.num_processes

    @property
    def is_main(self) -> bool:
        """Whether this process writes checkpoints and logs."""
        return self.index == 0

    def share_of(self, batch_size: int) -> range:
        """Places in a batch of the faces that this process takes.

        Raises:
            ConfigError: the batch cannot be shared evenly.
        """
        if batch_size % self.count:
            raise ConfigError(
                f"batch_size is {batch_size}, which {self.count} processes cannot share evenly; "
                f"make it a multiple of {self.count}"
            )
        share = batch_size // self.count
        return range(self.index * share, (self.index + 1) * share)

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace each gradient by its mean over the processes.

        As shares are equal, the mean of their mean losses' gradients is that of the whole batch.
        """
        if self.count == 1:
            return
        zero = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        mean = self.mean(torch.cat([gradient.flatten() for gradient in zero]))
        pieces = mean.split([p.numel() for p in parameters])
        for parameter, piece in zip(parameters, pieces, strict=True):
            parameter.grad = piece.view_as(parameter)

    def mean(self, values: Tensor) -> Tensor:
        """Mean of a tensor over the processes."""
        if self.count == 1:
            return values
        mean: Tensor = self._accelerator.reduce(values, "mean")
        return mean

    def maximum(self, value: float) -> float:
        """Largest of the processes' numbers."""
        if self.count == 1:
            return value
        values = torch.tensor([value], dtype=torch.float64, device=self.device)
        return float(self._accelerator.gather(values).max())

    def copy_from_main(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors by the main process's."""
        if self.count > 1:
            from accelerate.utils import broadcast

            for tensor in tensors:
                tensor.copy_(broadcast(tensor.detach().clone()))

    def number_from_main(self, value: float) -> float:
        """The main process's number."""
        carrier = torch.tensor([value], dtype=torch.float64, device=self.device)
        self.copy_from_main([carrier])
        return float(carrier)


@contextmanager
def open_processes(choice: DeviceChoice) -> Iterator[Processes]:
    """Join the processes that torchrun started, or be the only one.

    Args:
        choice: "auto" takes CUDA where there is a device.

    Raises:
        TrainingError: Accelerate is not installed, or CUDA was asked for and is not there.
    """
    try:
        from accelerate import Accelerator
    except ModuleNotFoundError as error:
        if error.name != "accelerate":
            raise
        raise TrainingError(
            "training needs the package accelerate, which is not installed; run `python3 run.py "
            "setup training`, or `pip install accelerate` where PyTorch is a build of your own"
        ) from error
    if choice == "cuda" and not torch.cuda.is_available():
        raise TrainingError(
            "device cuda was asked for, but PyTorch sees no CUDA device; install a CUDA build of "
            "PyTorch and its driver, or leave --device out"
        )
    on_cpu = choice == "cpu" or not torch.cuda.is_available()
    # Without CUDA Accelerate must be told so: it would leave the processes unjoined otherwise.
    accelerator = Accelerator(cpu=on_cpu, mixed_precision="no")
    try:
        yield Processes(accelerator)
    finally:
        accelerator.end_training()
