"""What an image file says of itself, read from its first bytes by us and not by a decoder.

A decoder may allocate by these numbers as soon as it opens a file, so they are checked before.
"""

import re
import struct
from dataclasses import dataclass
from typing import Literal

from service.errors import CorruptImageError, EmptyImageError, UnsupportedImageFormatError

ImageFormat = Literal["JPEG", "PNG", "WEBP"]

JPEG_MAGIC = b"\xff\xd8\xff"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

# JPEG (ITU T.81, table B.1): start-of-frame markers are C0 to CF but for DHT, JPG and DAC; markers
# without a length are TEM, RST0 to RST7 and SOI.
_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
JPEG_END, JPEG_SCAN = 0xD9, 0xDA
# Cameras write a few dozen segments (EXIF, colour profile, previews) before the frame; a file of
# two million empty ones would keep a thread busy for seconds.
MAX_JPEG_SEGMENTS = 1000
# Any number of fill bytes may stand before a marker.
_JPEG_NO_FILL = re.compile(rb"[^\xff]")


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """Format and stored size (before any EXIF orientation).

    Attributes:
        bit_depth: bits of a sample in the file; of a palette's index where it has one.
    """

    format: ImageFormat
    width: int
    height: int
    bit_depth: int = 8


def read_header(data: bytes) -> ImageHeader:
    """Read format and size from the head of a JPEG, PNG or WebP file.

    Raises:
        EmptyImageError: no bytes.
        UnsupportedImageFormatError: the bytes are of no format that we take.
        CorruptImageError: they begin as one and end or go wrong before they tell the size.
    """
    if not data:
        raise EmptyImageError("the image part has 0 bytes; send a JPEG, PNG or WebP file")
    try:
        if data.startswith(PNG_MAGIC):
            return _read_png_header(data)
        if data.startswith(JPEG_MAGIC):
            return _read_jpeg_header(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _read_webp_header(data)
    except (struct.error, IndexError) as error:
        raise CorruptImageError(
            f"the image ends after {len(data)} bytes, inside its header; send the whole file"
        ) from error
    raise UnsupportedImageFormatError(
        f"the {len(data)} bytes are no JPEG, PNG or WebP image, whatever their name says; "
        "convert the image to one of these"
    )


def _read_png_header(data: bytes) -> ImageHeader:
    kind, width, height, bit_depth = struct.unpack_from(">4sIIB", data, 12)
    if kind != b"IHDR":
        raise CorruptImageError("the PNG file does not begin with its header; export it again")
    return ImageHeader(format="PNG", width=width, height=height, bit_depth=bit_depth)


def _read_jpeg_header(data: bytes) -> ImageHeader:
    position = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        marker, position = next_jpeg_marker(data, position)
        if marker in _JPEG_FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, position + 3)
            return ImageHeader(format="JPEG", width=width, height=height)
        if marker in (JPEG_END, JPEG_SCAN):
            break
        position += jpeg_segment_length(data, marker, position)
    raise CorruptImageError("the JPEG file tells no size; export the image again")


def next_jpeg_marker(data: bytes, position: int) -> tuple[int, int]:
    """Find the next marker of a JPEG's head, and where what belongs to it begins.

    Raises:
        IndexError: there is none.
    """
    position = data.find(b"\xff", position)
    found = _JPEG_NO_FILL.search(data, position) if position >= 0 else None
    if found is None:
        raise IndexError("no further marker")
    return data[found.start()], found.end()


def jpeg_segment_length(data: bytes, marker: int, position: int) -> int:
    """Bytes of the segment that begins at `position`, its length included; raises struct.error."""
    if marker in _JPEG_BARE_MARKERS:
        return 0
    length: int = struct.unpack_from(">H", data, position)[0]
    return length


def _read_webp_header(data: bytes) -> ImageHeader:
    """WebP container: RFC 9649; key frame of VP8: RFC 6386, 9.1."""
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(_bytes_at(data, 24, 3), "little") + 1
        height = int.from_bytes(_bytes_at(data, 27, 3), "little") + 1
    elif kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise CorruptImageError("the WebP file begins with an unknown chunk; export it again")
    return ImageHeader(format="WEBP", width=width, height=height)


def _bytes_at(data: bytes, start: int, count: int) -> bytes:
    found = data[start : start + count]
    if len(found) < count:
        raise IndexError(f"{count} bytes at {start} of {len(data)}")
    return found
