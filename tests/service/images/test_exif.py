import struct

import pytest

from service.images.exif import read_orientation


def tiff(order: str, *entries: tuple[int, int, int, int]) -> bytes:
    mark = b"II*\x00" if order == "<" else b"MM\x00*"
    body = b"".join(struct.pack(order + "HHIHH", *entry, 0) for entry in entries)
    return mark + struct.pack(order + "IH", 8, len(entries)) + body


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read_in_both_byte_orders(order: str, orientation: int) -> None:
    assert (
        read_orientation(tiff(order, (0x0100, 3, 1, 7), (0x0112, 3, 1, orientation))) == orientation
    )


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II*\x00",
        b"II*\x00\xff\xff\xff\xff",
        b"no TIFF at all",
        tiff("<"),
        tiff("<", (0x0112, 3, 1, 0)),
        tiff("<", (0x0112, 3, 1, 9)),
        tiff("<", (0x0112, 4, 1, 6)),
        tiff("<", (0x0112, 3, 2, 6)),
        tiff("<", (0x0112, 3, 1, 6))[:-3],
        tiff("<", *[(0x0100, 3, 1, 1)] * 1001, (0x0112, 3, 1, 6)),
    ],
)
def test_what_makes_no_sense_means_upright(exif: bytes) -> None:
    assert read_orientation(exif) == 1
