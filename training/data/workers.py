"""Processes that make faces side by side; their results come in the order of the items."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Self

from training.data.face_maker import FaceMaker, FramingOptions, LandmarkTeacher, MadeFace
from training.data.pack import SkippedFile
from training.data.sources.source import ImageFiles, SourceItem
from training.errors import DataError

TeacherFactory = Callable[[], AbstractContextManager[LandmarkTeacher]]
Made = list[MadeFace | SkippedFile]
Chunk = Sequence[SourceItem]


def make_faces(
    chunks: Sequence[Chunk],
    *,
    files: ImageFiles,
    open_teacher: TeacherFactory,
    options: FramingOptions,
    num_workers: int,
) -> Iterator[Made]:
    """Make the faces of each chunk, in order; at most ``num_workers`` chunks are in memory.

    Args:
        chunks: Items to make.
        files: Where their bytes are.
        open_teacher: Opens a teacher; each process opens its own. Can be pickled.
        options: How faces are framed.
        num_workers: Processes; 1 works in this one.

    Raises:
        DataError: a process died, or none is asked for.
    """
    if num_workers < 1:
        raise DataError(f"{num_workers} workers were asked for; at least 1 makes faces")
    if num_workers == 1:
        with open_teacher() as teacher:
            maker = FaceMaker(files, teacher, options=options)
            for chunk in chunks:
                yield [maker.make(item) for item in chunk]
        return
    with ExitStack() as stack:
        workers = [
            stack.enter_context(_Worker(files, open_teacher, options)) for _ in range(num_workers)
        ]
        for worker, chunk in zip(workers, chunks, strict=False):
            worker.send(chunk)
        for number in range(len(chunks)):
            worker = workers[number % num_workers]
            made = worker.receive()
            if number + num_workers < len(chunks):
                worker.send(chunks[number + num_workers])
            yield made


class _Worker:
    """A process that takes one chunk at a time."""

    def __init__(
        self, files: ImageFiles, open_teacher: TeacherFactory, options: FramingOptions
    ) -> None:
        # Spawned, not forked: MediaPipe's threads and open zip files do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=_work, args=(theirs, files, open_teacher, options), daemon=True
        )
        self._process.start()
        theirs.close()  # so that the process's end is seen as the end of the pipe

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.join()

    def send(self, chunk: Chunk) -> None:
        try:
            self._connection.send(chunk)
        except OSError as error:
            raise self._death() from error

    def receive(self) -> Made:
        try:
            made: Made = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._death() from error
        return made

    def _death(self) -> DataError:
        self._process.join()
        code = self._process.exitcode
        cause = "killed, perhaps for lack of memory" if code and code < 0 else "by the error above"
        return DataError(
            f"a worker ended with exit code {code}, {cause}; the same command goes on where it "
            "was, with fewer --workers if need be"
        )


def _work(
    connection: Connection,
    files: ImageFiles,
    open_teacher: TeacherFactory,
    options: FramingOptions,
) -> None:
    """Make faces until the other end of the pipe is closed or its process is gone."""
    with connection, open_teacher() as teacher:
        maker = FaceMaker(files, teacher, options=options)
        while True:
            try:
                chunk: Chunk = connection.recv()
                connection.send([maker.make(item) for item in chunk])
            except (EOFError, OSError, KeyboardInterrupt):
                return
