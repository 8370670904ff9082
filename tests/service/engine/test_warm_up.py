from collections.abc import Callable

import pytest

from service.engine.memory_limit import ProcessMemory
from service.engine.warm_up import WarmUp, batch_sizes, warming_sizes
from service.errors import DeviceMemoryError, StartupError

MIB = 2**20
HELD_MIB, FACE_MIB = 400, 50


class Memory:
    """A process that holds some memory, and more of it while a batch runs."""

    def __init__(self) -> None:
        self.ran: list[int] = []

    def run(self, size: int) -> None:
        self.ran.append(size)

    def read(self) -> ProcessMemory:
        running = self.ran[-1] * FACE_MIB if self.ran else 0
        return ProcessMemory(
            resident=(HELD_MIB + 100) * MIB,  # 100 MiB of files
            anonymous=HELD_MIB * MIB,
            peak=(HELD_MIB + 100 + running) * MIB,
        )


@pytest.mark.parametrize(
    ("most", "expected"), [(1, [1]), (2, [1, 2]), (8, [1, 2, 4, 8]), (11, [1, 2, 4, 8, 11])]
)
def test_batch_sizes_double_up_to_the_most(most: int, expected: list[int]) -> None:
    assert batch_sizes(most) == expected


@pytest.mark.parametrize(
    ("most", "expected"), [(1, [1]), (3, [1, 3]), (4, [1, 4]), (8, [1, 4, 8]), (64, [1, 4, 16, 64])]
)
def test_warming_sizes_grow_fourfold_up_to_the_most(most: int, expected: list[int]) -> None:
    assert warming_sizes(most) == expected


def test_batch_that_would_exceed_the_limit_is_not_run() -> None:
    memory = Memory()
    warm_up = WarmUp(700 * MIB, read_memory=memory.read)
    # 400 MiB + 4 x 50 MiB fit, and 400 MiB + 8 x 50 MiB do not.
    with pytest.raises(StartupError) as info:
        warm_up.run("affectsrnet-x4@1", [1, 2, 4, 8], memory.run)
    assert memory.ran == [1, 2, 4]
    assert str(info.value) == (
        "a batch of 8 images of affectsrnet-x4@1 would need 800 MiB of memory and this process may "
        "use 700 MiB; give it more memory, or lower AFFECTSR_MAX_BATCH_SIZE"
    )


@pytest.mark.parametrize("limit", [None, 800 * MIB])
def test_batches_that_fit_are_all_run(limit: int | None) -> None:
    memory = Memory()
    WarmUp(limit, read_memory=memory.read).run("x@1", [1, 2, 4, 8], memory.run)
    assert memory.ran == [1, 2, 4, 8]


def test_what_is_held_already_is_refused_before_anything_runs() -> None:
    memory = Memory()
    with pytest.raises(StartupError, match="name fewer models in AFFECTSR_MODELS"):
        WarmUp(300 * MIB, read_memory=memory.read).run("x@1", [1, 2], memory.run)
    assert memory.ran == []


def test_nothing_is_foretold_where_the_system_does_not_say() -> None:
    ran: list[int] = []
    WarmUp(1, read_memory=lambda: None).run("x@1", [1, 2], ran.append)
    assert ran == [1, 2]


def failing_from(size: int) -> Callable[[int], None]:
    def batch(num_images: int) -> None:
        if num_images >= size:
            raise DeviceMemoryError("too much")

    return batch


def test_batch_that_does_not_fit_the_device_names_the_setting() -> None:
    with pytest.raises(StartupError) as info:
        WarmUp(None).run("x@1", [1, 2, 4], failing_from(4))
    assert str(info.value) == (
        "a batch of 4 images of x@1 does not fit the device's memory; give it more memory, or "
        "lower AFFECTSR_MAX_BATCH_SIZE"
    )
    assert info.value.__context__ is None  # nor the traceback that would hold its tensors
