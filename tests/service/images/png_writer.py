"""PNG files of every kind, written from the specification (RFC 2083): Pillow writes only some."""

import struct
import zlib

import numpy as np
import numpy.typing as npt

MAGIC = b"\x89PNG\r\n\x1a\n"

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6

# Adam7: first column, first row, step in columns, step in rows of each pass.
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def write_png(
    samples: npt.NDArray[np.integer],
    colour_type: int,
    bit_depth: int,
    *,
    extra: bytes = b"",
    interlaced: bool = False,
) -> bytes:
    """Write (H, W, C) samples; `extra` are chunks between the header and the pixels."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, interlaced)
    if interlaced:
        parts = [samples[y::dy, x::dx] for x, y, dx, dy in _PASSES]
        raw = b"".join(_rows(part, bit_depth) for part in parts if part.size)
    else:
        raw = _rows(samples, bit_depth)
    pixels = chunk(b"IDAT", zlib.compress(raw, 9))
    return MAGIC + chunk(b"IHDR", header) + extra + pixels + chunk(b"IEND", b"")


def _rows(samples: npt.NDArray[np.integer], bit_depth: int) -> bytes:
    """Every row behind the number of its filter: 0, none."""
    flat = samples.reshape(samples.shape[0], -1)
    if bit_depth == 16:
        packed = flat.astype(">u2").view(np.uint8)
    elif bit_depth == 8:
        packed = flat.astype(np.uint8)
    else:
        shifts = np.arange(bit_depth - 1, -1, -1)
        bits = (flat[..., None] >> shifts) & 1
        packed = np.packbits(bits.reshape(len(flat), -1).astype(np.uint8), axis=1)
    return b"".join(b"\x00" + row.tobytes() for row in packed)
