"""Noticing that memory runs out while the models load, before the process is killed for it.

What a batch takes is foretold from the one before it (`warm_up`); what loading, converting and
first batches take is not, and a container's limit kills without a word. So a thread looks every few
milliseconds, and the last line of the log says what to change.
"""

import threading
from collections.abc import Callable
from types import TracebackType

from service.engine.memory_limit import ProcessMemory, read_process_memory

_PERIOD_SECONDS = 0.005
# What the kernel holds on the process's behalf counts too, and some pages more within a period.
_USABLE_SHARE = 0.94
_MIB = 2**20


class MemoryWatch:
    """Watches this process's memory in a thread; a context manager.

    Args:
        limit_bytes: beyond which the process is killed; None where no limit is known.
        goes_on: asked before each look; once it is false the watch is over.
        on_short: told what to tell the operator, at most once, in the watch's thread.
        read_memory: what the process uses; other ones are for tests.
    """

    def __init__(
        self,
        limit_bytes: int | None,
        *,
        goes_on: Callable[[], bool],
        on_short: Callable[[str], None],
        read_memory: Callable[[], ProcessMemory | None] = read_process_memory,
    ) -> None:
        self._limit_bytes = limit_bytes
        self._goes_on = goes_on
        self._on_short = on_short
        self._read_memory = read_memory
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        if self._limit_bytes is None:
            return
        while self._goes_on() and not self._is_over.wait(_PERIOD_SECONDS):
            memory = self._read_memory()
            if memory is None:
                return
            if memory.anonymous > _USABLE_SHARE * self._limit_bytes:
                self._on_short(
                    f"the models do not fit the memory: {memory.anonymous / _MIB:.0f} MiB are in "
                    f"use before all is loaded, and this process is killed at "
                    f"{self._limit_bytes / _MIB:.0f} MiB; give it more memory, name fewer models "
                    "in AFFECTSR_MODELS, or lower AFFECTSR_MAX_BATCH_SIZE"
                )
                return
