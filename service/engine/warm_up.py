"""Running batches of growing size once, and stopping before one that would not fit the memory.

A process that exceeds its container's limit is killed without a word, starts again, and is killed
again. What a batch takes is known from the one before it, so the log can say what to change.
"""

from collections.abc import Callable, Sequence

from service.engine.memory_limit import ProcessMemory, read_process_memory, reset_peak
from service.errors import DeviceMemoryError, StartupError

_MIB = 2**20


class WarmUp:
    """Warms networks up, one after the other.

    Args:
        limit_bytes: that this process may use; None where there is no limit that is known.
        read_memory: what it uses; other ones are for tests.
    """

    def __init__(
        self,
        limit_bytes: int | None,
        *,
        read_memory: Callable[[], ProcessMemory | None] = read_process_memory,
    ) -> None:
        self._limit_bytes = limit_bytes
        self._read_memory = read_memory

    def run(self, reference: str, sizes: Sequence[int], batch: Callable[[int], object]) -> None:
        """Run a batch of each size.

        Args:
            reference: of the network, for messages.
            sizes: images in a batch, ascending; each at most a few times the one before, so that
                what is foretold holds.
            batch: runs so many images.

        Raises:
            StartupError: one of them does not fit the memory, or would not.
        """
        bytes_per_image = 0.0
        for size in sizes:
            before = self._read_memory()
            self._check(reference, size, bytes_per_image * size, before)
            reset_peak()
            try:
                batch(size)
            except DeviceMemoryError:
                # Below, not here: as long as this block is open the failed batch is in memory.
                fits = False
            else:
                fits = True
            if not fits:
                raise StartupError(
                    f"a batch of {size} images of {reference} does not fit the device's memory; "
                    f"{_remedy(size)}"
                )
            after = self._read_memory()
            if before is not None and after is not None:
                # With what the batch left behind, which grows with it where rows have memory of
                # their own.
                bytes_per_image = max(0, after.peak - before.resident) / size

    def _check(
        self, reference: str, size: int, batch_bytes: float, before: ProcessMemory | None
    ) -> None:
        if before is None or self._limit_bytes is None:
            return
        needed = before.anonymous + batch_bytes
        if needed > self._limit_bytes:
            raise StartupError(
                f"a batch of {size} images of {reference} would need {needed / _MIB:.0f} MiB of "
                f"memory and this process may use {self._limit_bytes / _MIB:.0f} MiB; "
                f"{_remedy(size)}"
            )


def _remedy(size: int) -> str:
    """What helps where a batch of so many images does not fit."""
    if size == 1:  # no batch is smaller
        return "give it more memory, or name fewer models in AFFECTSR_MODELS"
    return "give it more memory, or lower AFFECTSR_MAX_BATCH_SIZE"


def batch_sizes(most: int) -> list[int]:
    """1, 2, 4, ... and the most itself."""
    return _powers(2, most)


def warming_sizes(most: int) -> list[int]:
    """1, 4, 16, ... and the most itself.

    Once a larger batch has run, the first of a smaller size takes hardly longer than the next: what
    takes time is the memory, which is there then.
    """
    return _powers(4, most)


def _powers(base: int, most: int) -> list[int]:
    powers = {most}
    power = 1
    while power < most:
        powers.add(power)
        power *= base
    return sorted(powers)
