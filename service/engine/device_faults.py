"""What a failure of the device means: too little memory just now, or a device that is lost."""

from collections.abc import Callable
from typing import TypeVar

import torch

from service.errors import DeviceLostError, DeviceMemoryError, ServiceError

T = TypeVar("T")

# torch.OutOfMemoryError is CUDA's allocator alone. Its CPU allocator and the CUDA libraries, which
# allocate for themselves, raise a RuntimeError with one of these in its text.
_OUT_OF_MEMORY_TEXTS = (
    "out of memory",
    "can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


class DeviceGuard:
    """Runs work on a device and gives its failures the service's names."""

    def __init__(
        self, device: torch.device, *, answers: Callable[[torch.device], bool] | None = None
    ) -> None:
        self._device = device
        self._answers = answers or device_answers

    def call(self, work: Callable[[], T]) -> T:
        """Do the work.

        Raises:
            DeviceMemoryError: it did not fit the device's memory; the allocator's cache is empty
                again, so that a smaller piece has all the room there is.
            DeviceLostError: it failed, and so does the smallest thing that one asks of the device:
                after an illegal access or a failed assertion a CUDA context is of no further use.
            Exception: whatever else the work raised.
        """
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            failure = self._name(error)
            if failure is None:
                raise
        # Outside the except block: until here the traceback held the tensors of the work.
        if isinstance(failure, DeviceMemoryError) and self._device.type == "cuda":
            torch.cuda.empty_cache()
        raise failure

    def _name(self, error: Exception) -> ServiceError | None:
        text = str(error)
        if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
            known in text for known in _OUT_OF_MEMORY_TEXTS
        ):
            return DeviceMemoryError(
                "the device's memory does not hold this image now; retry later, or lower "
                "AFFECTSR_MAX_BATCH_PIXELS"
            )
        if not self._answers(self._device):
            return DeviceLostError(f"{self._device} failed for good: {text.splitlines()[0]}")
        return None


def device_answers(device: torch.device) -> bool:
    """Whether the device still adds one and one; a CPU always does."""
    if device.type == "cpu":
        return True
    try:
        return bool(torch.ones((), device=device).add(1).item() == 2)
    except RuntimeError:
        return False
