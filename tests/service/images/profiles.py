"""Small ICC profiles, written from the specification (ICC.1:2001), of colours one can compute."""

import struct

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

WHITE_D50 = np.array([0.9642, 1.0, 0.8249])
# Columns: XYZ of the primaries, adapted to D50 as profiles are.
SRGB_TO_XYZ = np.array(
    [[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]]
)
WIDE_TO_XYZ = np.array(
    [[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]]
)


def wide_rgb_profile(gamma: float) -> bytes:
    """Display P3's primaries with a plain gamma."""
    tags = {b"wtpt": _xyz(WHITE_D50)}
    for index, letter in enumerate(b"rgb"):
        tags[bytes([letter]) + b"XYZ"] = _xyz(WIDE_TO_XYZ[:, index])
        tags[bytes([letter]) + b"TRC"] = _gamma(gamma)
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _xyz(WHITE_D50), b"kTRC": _gamma(gamma)})


def cmyk_profile(corners: FloatArray) -> bytes:
    """A table of 2 x 2 x 2 x 2 Lab colours, (16, 3); the last ink varies fastest."""
    identity = bytes(range(256))
    scaled = corners * [2.55, 1, 1] + [0, 128, 128]
    table = np.rint(scaled).astype(np.uint8).tobytes()
    matrix = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix
    lut += identity * 4 + table + identity * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": _xyz(WHITE_D50), b"A2B0": lut})


def xyz_to_srgb(xyz: FloatArray) -> FloatArray:
    """(..., 3) XYZ under D50 -> sRGB of 0 to 255, out-of-gamut colours cut off."""
    linear = np.clip(xyz @ np.linalg.inv(SRGB_TO_XYZ).T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def lab_to_xyz(lab: FloatArray) -> FloatArray:
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    return WHITE_D50 * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _description(), b"cprt": b"text" + bytes(4) + b"none\x00", **tags}
    directory, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        directory += struct.pack(">4sII", name, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I", start + len(body)) + bytes(4) + b"\x02\x10\x00\x00"
    head += kind + space + connection + struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp"
    head += bytes(28) + _fixed(WHITE_D50)
    return head + bytes(128 - len(head)) + directory + body


def _description() -> bytes:
    text = b"made by hand\x00"
    return b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(12 + 67)


def _gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256)) + bytes(2)


def _xyz(values: FloatArray) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _fixed(values: FloatArray) -> bytes:
    return struct.pack(">3i", *(round(float(value) * 65536) for value in values))
