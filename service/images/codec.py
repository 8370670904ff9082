"""Decoding and encoding in threads of their own, off the event loop."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from model_store.image_tensor import RgbImage
from service.images.decode import AlphaMask, DecodedImage, ImageLimits, decode_image
from service.images.encode import MediaType, encode_image

T = TypeVar("T")


class ImageCodec:
    """Decodes and encodes off the event loop.

    The threads' queue needs no bound of its own: only admitted images get here.
    """

    def __init__(self, limits: ImageLimits, *, photo_limits: ImageLimits, num_threads: int) -> None:
        """`limits` are for crops of faces, `photo_limits` for whole photos."""
        self._limits = limits
        self._photo_limits = photo_limits
        self._threads = ThreadPoolExecutor(
            num_threads or os.cpu_count() or 1, thread_name_prefix="codec"
        )

    async def decode(self, data: bytes) -> DecodedImage:
        """See `decode_image`."""
        return await self._run(lambda: decode_image(data, self._limits))

    async def decode_photo(self, data: bytes) -> DecodedImage:
        """See `decode_image`."""
        return await self._run(lambda: decode_image(data, self._photo_limits))

    async def compute(self, work: Callable[[], T]) -> T:
        """Do what else takes a processor's time and would hold up the event loop."""
        return await self._run(work)

    async def encode(
        self, rgb: RgbImage, media_type: MediaType, *, alpha: AlphaMask | None = None
    ) -> bytes:
        """See `encode_image`."""
        return await self._run(lambda: encode_image(rgb, media_type, alpha=alpha))

    def close(self) -> None:
        """Wait for what runs and end the threads."""
        self._threads.shutdown(cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
