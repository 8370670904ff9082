import threading
from collections.abc import Iterator

from service.engine.memory_limit import ProcessMemory
from service.engine.memory_watch import MemoryWatch

MIB = 2**20


def using(*anonymous_mib: int) -> Iterator[ProcessMemory]:
    for mib in anonymous_mib:
        yield ProcessMemory(resident=mib * MIB, anonymous=mib * MIB, peak=mib * MIB)


def test_memory_that_nears_the_limit_is_told_once_with_a_remedy() -> None:
    told: list[str] = []
    is_told = threading.Event()
    memory = using(100, 300, 480, 490)

    def tell(reason: str) -> None:
        told.append(reason)
        is_told.set()

    with MemoryWatch(
        500 * MIB, goes_on=lambda: True, on_short=tell, read_memory=lambda: next(memory)
    ):
        assert is_told.wait(timeout=20)

    assert told == [
        "the models do not fit the memory: 480 MiB are in use before all is loaded, and this "
        "process is killed at 500 MiB; give it more memory, name fewer models in AFFECTSR_MODELS, "
        "or lower AFFECTSR_MAX_BATCH_SIZE"
    ]
    assert next(memory).anonymous == 490 * MIB  # nobody has looked again


def looks_at(*anonymous_mib: int, limit_bytes: int | None) -> int:
    """Let a watch look until the service is ready; gives how often it looked."""
    memory = list(using(*anonymous_mib))
    num_looks = 0
    is_ready = threading.Event()

    def look() -> ProcessMemory:
        nonlocal num_looks
        num_looks += 1
        if num_looks == len(memory):
            is_ready.set()
        return memory[num_looks - 1]

    def fail(reason: str) -> None:
        raise AssertionError(reason)

    with MemoryWatch(
        limit_bytes, goes_on=lambda: not is_ready.is_set(), on_short=fail, read_memory=look
    ):
        if limit_bytes is not None:
            assert is_ready.wait(timeout=20)
    return num_looks


def test_nobody_looks_once_the_service_is_ready() -> None:
    assert looks_at(100, 450, 200, limit_bytes=500 * MIB) == 3


def test_without_a_limit_nobody_looks() -> None:
    assert looks_at(100, limit_bytes=None) == 0
