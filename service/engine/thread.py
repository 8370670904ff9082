"""The one thread that touches the device."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass
class _Task(Generic[T]):
    """Work that was given, and who waits for it."""

    work: Callable[[], T]
    future: asyncio.Future[T]
    loop: asyncio.AbstractEventLoop

    def run(self) -> None:
        if self.future.cancelled():  # nobody waits for what has not begun
            return
        try:
            result = self.work()
        except BaseException as error:
            self._tell(_fail, error)
        else:
            self._tell(_succeed, result)

    def _tell(self, answer: Callable[..., None], outcome: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, for nobody waited to the end
            self.loop.call_soon_threadsafe(answer, self.future, outcome)


@dataclass
class _EarlyTask(Generic[T]):
    """Work that was given when there was no event loop yet."""

    work: Callable[[], T]
    future: Future[T]

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.work()
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class EngineThread:
    """Runs blocking work for the event loop, one piece after the other, always on one thread.

    A thread of our own instead of an executor's: its hand-over is a queue written in C and one
    message to the loop, which an executor's locks and two kinds of futures would double.
    """

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[_Task[Any] | _EarlyTask[Any] | None] = queue.SimpleQueue()
        self._is_abandoned = False
        self._thread = threading.Thread(target=self._run_all, name="engine")
        self._thread.start()

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run it behind what was given before; a cancelled wait does not stop work that runs."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._tasks.put(_Task(work, future, loop))
        return future

    def begin(self, work: Callable[[], T]) -> Future[T]:
        """Run it before there is an event loop, and before what `run` is given later."""
        future: Future[T] = Future()
        self._tasks.put(_EarlyTask(work, future))
        return future

    def close(self) -> None:
        """Wait for the work that runs, drop what has not begun, end the thread."""
        with contextlib.suppress(queue.Empty):
            while (task := self._tasks.get_nowait()) is not None:
                task.future.cancel()
        self._tasks.put(None)
        if not self._is_abandoned:
            self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether the thread has not ended."""
        return self._thread.is_alive()

    def abandon(self) -> None:
        """Wait no more for the work that runs: it may hang in the device for ever.

        The interpreter still waits for the thread when it ends by itself; see `service.server`.
        """
        self._is_abandoned = True

    def _run_all(self) -> None:
        while (task := self._tasks.get()) is not None:
            task.run()
            del task  # an idle thread keeps no images


def _succeed(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
