"""The one thing of an image's EXIF data that concerns its pixels: which way up it is."""

import struct

_ORIENTATION_TAG = 0x0112
_SHORT = 3
# TIFF 6.0: byte order, 42, where the first directory is; there 12 bytes for each entry.
_BYTE_ORDERS = {b"II*\x00": "<", b"MM\x00*": ">"}
# A camera writes a few dozen into the first directory.
_MAX_ENTRIES = 1000


def read_orientation(exif: bytes) -> int:
    """Read it from a TIFF structure: 1 to 8, and 1 (upright) where nothing sensible is said.

    Malformed EXIF is common and says nothing about the picture, so it is no error.
    """
    order = _BYTE_ORDERS.get(exif[:4])
    if order is None:
        return 1
    try:
        offset = struct.unpack_from(order + "I", exif, 4)[0]
        num_entries = struct.unpack_from(order + "H", exif, offset)[0]
        for index in range(min(num_entries, _MAX_ENTRIES)):
            tag, kind, count, value = struct.unpack_from(
                order + "HHIH", exif, offset + 2 + 12 * index
            )
            if (tag, kind, count) == (_ORIENTATION_TAG, _SHORT, 1):
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass  # it ends before what it announces
    return 1
