from collections.abc import Callable

import pytest
import torch

from service.engine.device_faults import DeviceGuard, device_answers
from service.errors import DeviceLostError, DeviceMemoryError

CPU = torch.device("cpu")


def raising(error: Exception) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def guard(*, answers: bool = True) -> DeviceGuard:
    return DeviceGuard(CPU, answers=lambda device: answers)


def test_work_that_succeeds_gives_its_result() -> None:
    assert guard().call(lambda: 7) == 7


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_want_of_memory_is_told_from_other_failures(error: Exception) -> None:
    with pytest.raises(DeviceMemoryError, match="AFFECTSR_MAX_BATCH_PIXELS") as info:
        guard().call(raising(error))
    # Nothing holds the frames of the work, and so its tensors, any more.
    assert info.value.__context__ is None


def test_real_allocation_that_is_too_large_is_want_of_memory() -> None:
    with pytest.raises(DeviceMemoryError):
        guard().call(lambda: torch.empty(2**55, dtype=torch.uint8))


def test_failure_of_a_device_that_still_answers_is_the_works_own() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        guard().call(raising(RuntimeError("mat1 and mat2 shapes cannot be multiplied")))


def test_failure_after_which_the_device_does_nothing_is_its_loss() -> None:
    error = RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel ...")
    with pytest.raises(DeviceLostError, match=r"cpu failed for good: .* encountered$"):
        guard(answers=False).call(raising(error))


def test_processor_always_answers() -> None:
    assert device_answers(CPU)


@pytest.mark.gpu
def test_working_gpu_answers() -> None:
    assert device_answers(torch.device("cuda"))
