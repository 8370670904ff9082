"""An image file taken apart: what a decoder needs of it, and its EXIF and colour profile.

Decoders read whatever a file carries: thousands of segments, texts that unpack to megabytes,
pictures behind the picture. None of it says anything of the pixels, so it is left out before a
decoder sees the file, and what is left is bounded.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.errors import AnimatedImageError, CorruptImageError
from service.images.header import (
    JPEG_END,
    JPEG_SCAN,
    MAX_JPEG_SEGMENTS,
    PNG_MAGIC,
    ImageFormat,
    jpeg_segment_length,
    next_jpeg_marker,
)
from service.images.png_pixels import PngPixels

# Encoders write 8 KiB of pixels into a chunk, so a file of 8 MiB has a thousand.
_MAX_CHUNKS = 2048
# Encoders write ten scans into a progressive JPEG; each costs a walk over the whole image.
_MAX_JPEG_SCANS = 64
# A profile for print has 0.5 to 2 MiB, one for a screen 1 KiB; of a larger one nothing is known.
_MAX_PROFILE_BYTES = 4 * 2**20

_PNG_KEPT_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})

_PNG_HEADER_LENGTH = b"\x00\x00\x00\x0d"
# Bit depth, colour type, compression, filters, interlacing (RFC 2083, 4.1.1).
_PNG_PLAIN_RGB = b"\x08\x02\x00\x00\x00"

_EXIF_PREFIX = b"Exif\x00\x00"
_PROFILE_PREFIX = b"ICC_PROFILE\x00"
_JPEG_EXIF, _JPEG_PROFILE, _JPEG_COMMENT = 0xE1, 0xE2, 0xFE
# JFIF and Adobe say how the colours are coded; every other application segment is dropped.
_JPEG_DROPPED = frozenset({*range(0xE1, 0xEE), 0xEF, _JPEG_COMMENT})
# Inside a scan FF is followed by 00, or by the number of a restart; anything else is a marker.
_JPEG_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """What is left of a file.

    Attributes:
        data: a file of the same format with the picture and nothing else.
        rows: where they are all that there is to decode, the compressed rows of a PNG: it has
            8-bit RGB, no transparency, no interlacing. Else None.
        exif: the TIFF structure, or None.
        profile: the ICC profile, or None; nothing is known of either but its size.
    """

    data: bytes
    rows: bytes | None = None
    exif: bytes | None = None
    profile: bytes | None = None


def take_apart(data: bytes, image_format: ImageFormat) -> ImageFile:
    """Separate the picture from all else that a file carries.

    Raises:
        CorruptImageError: the file ends early, or is in more pieces than any encoder makes.
        AnimatedImageError: more than one frame.
    """
    try:
        match image_format:
            case "PNG":
                return _take_apart_png(data)
            case "JPEG":
                return _take_apart_jpeg(data)
            case "WEBP":
                return _take_apart_webp(data)
    except (struct.error, IndexError) as error:
        raise CorruptImageError(
            f"the {image_format} image ends early, after {len(data)} bytes; send the whole file or "
            "export it again"
        ) from error


# --- PNG: chunks of length, kind, data, checksum (RFC 2083, 3) ---


def _take_apart_png(data: bytes) -> ImageFile:
    kept, rows = [PNG_MAGIC], []
    exif = packed_profile = None
    pixels = PngPixels(*struct.unpack_from(">IIBBxxB", data, 16))
    for kind, start, end in _png_chunks(data):
        if kind in _PNG_KEPT_CHUNKS:
            kept.append(data[start - 8 : end + 4])
        if kind == b"IDAT":
            rows.append(data[start:end])
            pixels.read(rows[-1])
        elif kind == b"acTL":
            _check_frames(struct.unpack_from(">I", data, start)[0], "PNG")
        elif kind == b"eXIf":
            exif = data[start:end].removeprefix(_EXIF_PREFIX)
        elif kind == b"iCCP":
            packed_profile = data[start:end]
    pixels.check_complete()
    profile = None if packed_profile is None else _unpack_png_profile(packed_profile)
    return ImageFile(
        data=b"".join(kept),
        rows=b"".join(rows) if _is_plain_png(data, kept, rows) else None,
        exif=exif,
        profile=profile,
    )


def _is_plain_png(data: bytes, kept: Sequence[bytes], rows: Sequence[bytes]) -> bool:
    """Whether a sound header says 8-bit RGB, and nothing but rows stands between it and the end."""
    return (
        len(kept) == len(rows) + 3  # with the magic number, the header and the end
        and data[8:12] == _PNG_HEADER_LENGTH
        and data[24:29] == _PNG_PLAIN_RGB
        and zlib.crc32(data[12:29]) == int.from_bytes(data[29:33], "big")
    )


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk's data, up to the one that ends the image."""
    position = len(PNG_MAGIC)
    for _ in range(_MAX_CHUNKS):
        length, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        end = start + length
        if end + 4 > len(data):
            raise IndexError("the chunk ends behind the file")
        yield kind, start, end
        if kind == b"IEND":
            return
        position = end + 4
    raise _too_many(f"{_MAX_CHUNKS} chunks", "PNG")


def _unpack_png_profile(chunk: bytes) -> bytes | None:
    """The profile behind its name; None if it cannot be unpacked, for the pixels need it not."""
    _, _, rest = chunk.partition(b"\x00")
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(rest[1:], _MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if inflater.eof else None


# --- JPEG: segments of marker, length, data (ITU T.81, annex B) ---


def _take_apart_jpeg(data: bytes) -> ImageFile:
    kept = [data[:2]]
    exif: bytes | None = None
    profile_parts: dict[int, bytes] = {}
    position = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        marker, start = next_jpeg_marker(data, position)
        if marker == JPEG_SCAN:
            kept.append(data[start - 2 : _end_of_jpeg(data, start)])
            return ImageFile(data=b"".join(kept), exif=exif, profile=_join_profile(profile_parts))
        position = start + jpeg_segment_length(data, marker, start)
        body = data[start + 2 : position]
        if marker == _JPEG_EXIF and exif is None and body.startswith(_EXIF_PREFIX):
            exif = body.removeprefix(_EXIF_PREFIX)
        elif marker == _JPEG_PROFILE and body.startswith(_PROFILE_PREFIX):
            number = body[len(_PROFILE_PREFIX)]
            profile_parts[number] = body[len(_PROFILE_PREFIX) + 2 :]
        if marker not in _JPEG_DROPPED:
            kept.append(data[start - 2 : position])
    raise _too_many(f"{MAX_JPEG_SEGMENTS} segments", "JPEG")


def _end_of_jpeg(data: bytes, position: int) -> int:
    """Walk over the scans to the end of the image; what stands behind it is another's."""
    num_scans = 1
    for _ in range(MAX_JPEG_SEGMENTS):
        position += jpeg_segment_length(data, JPEG_SCAN, position)
        found = _JPEG_MARKER_IN_SCAN.search(data, position)
        if found is None:
            return len(data)  # it ends early, as its decoder will say
        marker, position = data[found.end() - 1], found.end()
        if marker == JPEG_END:
            return position
        num_scans += marker == JPEG_SCAN
        if num_scans > _MAX_JPEG_SCANS:
            raise _too_many(f"{_MAX_JPEG_SCANS} scans", "JPEG")
    raise _too_many(f"{MAX_JPEG_SEGMENTS} segments", "JPEG")


def _join_profile(parts: dict[int, bytes]) -> bytes | None:
    """A profile is cut into segments that are numbered from 1 (ICC.1, annex B.4)."""
    if not parts or sorted(parts) != list(range(1, len(parts) + 1)):
        return None
    profile = b"".join(parts[number] for number in sorted(parts))
    return profile if len(profile) <= _MAX_PROFILE_BYTES else None


# --- WebP: a RIFF of chunks of kind, length, data (RFC 9649) ---


def _take_apart_webp(data: bytes) -> ImageFile:
    """Its decoder leaves unknown chunks alone, so the file stays as it is."""
    exif = profile = None
    num_frames = 0
    position = 12
    end_of_file = 8 + struct.unpack_from("<I", data, 4)[0]
    for _ in range(_MAX_CHUNKS):
        if position + 8 > min(end_of_file, len(data)):
            _check_frames(max(num_frames, 1), "WebP")
            return ImageFile(data=data[:end_of_file], exif=exif, profile=profile)
        kind, length = struct.unpack_from("<4sI", data, position)
        start, position = position + 8, position + 8 + length + length % 2
        if kind == b"ANMF":
            num_frames += 1
        elif kind == b"EXIF":
            exif = data[start : start + length].removeprefix(_EXIF_PREFIX)
        elif kind == b"ICCP" and length <= _MAX_PROFILE_BYTES:
            profile = data[start : start + length]
    raise _too_many(f"{_MAX_CHUNKS} chunks", "WebP")


def _check_frames(num_frames: int, name: str) -> None:
    if num_frames != 1:
        raise AnimatedImageError(
            f"the {name} image has {num_frames} frames; send one frame as an image of its own"
        )


def _too_many(limit: str, name: str) -> CorruptImageError:
    return CorruptImageError(
        f"the {name} image is in more than {limit}, as no encoder makes them; export it again"
    )
