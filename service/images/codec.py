"""Decoding and encoding in threads of their own, off the event loop."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from model_store.image_tensor import RgbImage
from service.errors import ServiceError
from service.images.decode import AlphaMask, DecodedImage, ImageLimits, decode_image
from service.images.encode import MediaType, encode_image
from service.images.header import read_header

ItemT = TypeVar("ItemT")
T = TypeVar("T")

# To hand work to a thread and be woken again costs the event loop 0.2 ms and the caller more. Up
# to these sizes the work itself takes less: a face of 16 px decodes in 0.05 ms, one of 128 px is a
# JPEG in 0.1 to 0.3 ms. Colour profiles are left to a thread: they may unpack to megabytes.
_SMALL_FILE_BYTES = 8 * 1024
_SMALL_FILE_PIXELS = 64 * 64
_PROFILE_MARKS = (b"ICC_PROFILE", b"iCCP", b"ICCP")
_SMALL_JPEG_PIXELS = 128 * 128
# Files of a few faces, which one thread has decoded before a second one would be awake.
_ONE_THREADS_BYTES = 32 * 1024


class ImageCodec:
    """Decodes and encodes off the event loop, but for what is done before a thread would begin.

    The threads' queue needs no bound of its own: only admitted images get here.
    """

    def __init__(self, limits: ImageLimits, *, photo_limits: ImageLimits, num_threads: int) -> None:
        """`limits` are for crops of faces, `photo_limits` for whole photos."""
        self._limits = limits
        self._photo_limits = photo_limits
        self._num_threads = num_threads or os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(self._num_threads, thread_name_prefix="codec")

    async def decode(self, data: bytes) -> DecodedImage:
        """See `decode_image`."""
        if is_small_file(data):
            return decode_image(data, self._limits)
        return await self._run(lambda: decode_image(data, self._limits))

    async def decode_all(self, files: Sequence[bytes]) -> list[DecodedImage | ServiceError]:
        """Decode several files, or say why one cannot be, each thread once for its share."""

        def decode() -> list[DecodedImage | ServiceError]:
            return [self._decoded(data) for data in files]

        if all(map(self._is_done_at_once, files)):
            return decode()
        if sum(map(len, files)) <= _ONE_THREADS_BYTES:
            return await self._run(decode)
        return await self.compute_each(self._decoded, files)

    async def decode_photo(self, data: bytes) -> DecodedImage:
        """See `decode_image`."""
        return await self._run(lambda: decode_image(data, self._photo_limits))

    async def compute(self, work: Callable[[], T]) -> T:
        """Do what else takes a processor's time and would hold up the event loop."""
        return await self._run(work)

    async def compute_each(self, work: Callable[[ItemT], T], items: Sequence[ItemT]) -> list[T]:
        """Like `compute`, the items spread over all threads; results come in order."""
        share = -(-len(items) // self._num_threads) or 1
        parts = [items[first : first + share] for first in range(0, len(items), share)]

        def work_on(part: Sequence[ItemT]) -> list[T]:
            return [work(item) for item in part]

        done = await asyncio.gather(*(self._run(partial(work_on, part)) for part in parts))
        return [result for results in done for result in results]

    async def encode(
        self, rgb: RgbImage, media_type: MediaType, *, alpha: AlphaMask | None = None
    ) -> bytes:
        """See `encode_image`."""
        if media_type == "image/jpeg" and rgb.shape[0] * rgb.shape[1] <= _SMALL_JPEG_PIXELS:
            return encode_image(rgb, media_type, alpha=alpha)
        return await self._run(lambda: encode_image(rgb, media_type, alpha=alpha))

    def close(self) -> None:
        """Wait for what runs and end the threads."""
        self._threads.shutdown(cancel_futures=True)

    def _decoded(self, data: bytes) -> DecodedImage | ServiceError:
        try:
            return decode_image(data, self._limits)
        except ServiceError as error:
            # Its frames lead back to the thread's, which holds it as a result: a cycle.
            return error.with_traceback(None)

    def _is_done_at_once(self, data: bytes) -> bool:
        try:
            return is_small_file(data)
        except ServiceError:
            return True  # to be refused

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def is_small_file(data: bytes) -> bool:
    """Whether it decodes in next to no time, whatever it holds.

    Raises:
        ServiceError: it tells no size; see `read_header`.
    """
    if len(data) > _SMALL_FILE_BYTES or any(mark in data for mark in _PROFILE_MARKS):
        return False
    header = read_header(data)
    return header.width * header.height <= _SMALL_FILE_PIXELS
