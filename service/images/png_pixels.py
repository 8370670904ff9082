"""Whether a PNG holds all the pixels that its header promises.

Pillow fills missing rows with black where the compressed data ends as it should and too early. Bad
data is never silently replaced, so the rows are counted here.
"""

import zlib

from service.errors import CorruptImageError

_CHANNELS_BY_COLOUR_TYPE = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7 (RFC 2083, 2.6): first column, first row, step in columns, step in rows of each pass.
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


class PngPixels:
    """Counts unpacked bytes up to those that the header promises, and keeps none."""

    def __init__(
        self, width: int, height: int, bit_depth: int, colour_type: int, interlacing: int
    ) -> None:
        bits = bit_depth * _CHANNELS_BY_COLOUR_TYPE.get(colour_type, 0)
        passes = _PASSES if interlacing else ((0, 0, 1, 1),)
        self._missing_bytes = sum(
            _bytes_of_pass(-((x - width) // dx), -((y - height) // dy), bits)
            for x, y, dx, dy in passes
        )
        self._inflater = zlib.decompressobj()

    def read(self, packed: bytes) -> None:
        """Count the pixels of the next chunk.

        Raises:
            CorruptImageError: it cannot be unpacked.
        """
        try:
            while packed and self._missing_bytes > 0:
                unpacked = self._inflater.decompress(packed, min(self._missing_bytes, 2**16))
                self._missing_bytes -= len(unpacked)
                packed = self._inflater.unconsumed_tail
        except zlib.error as error:
            raise CorruptImageError(
                "the pixels of the PNG image cannot be unpacked; send the whole file or export it "
                "again"
            ) from error

    def check_complete(self) -> None:
        """Raises CorruptImageError where pixels are missing."""
        if self._missing_bytes > 0:
            raise CorruptImageError(
                f"the PNG image ends early, {self._missing_bytes} bytes of pixels are missing; "
                "send the whole file or export it again"
            )


def _bytes_of_pass(width: int, height: int, bits: int) -> int:
    """Each row has a byte for its filter; a pass of a tiny image may be empty."""
    if width <= 0 or height <= 0:
        return 0
    return height * (1 + (width * bits + 7) // 8)
