"""Files made to hurt: bombs, truncations, lies, polyglots, and files in a million pieces.

Made when the tests run, from a fixed seed; nothing of it lies in the repository.
"""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tests.service.images.png_writer import GREY, MAGIC, PALETTE, RGB, RGBA, chunk, write_png
from tests.service.support import as_file, noise

SIDE = 64
LARGE = 1024


@dataclass(frozen=True)
class Hostile:
    """A file, and whether its picture is sound all the same."""

    name: str
    data: bytes
    holds_picture: bool = False


def hostile_files() -> Iterator[Hostile]:
    """More than two hundred; those that hold a sound picture may be taken for it."""
    yield from bombs()
    yield from truncations()
    yield from lying_headers()
    yield from polyglots()
    yield from animations()
    yield from heavy_metadata()
    yield from endless_pieces()
    yield from flipped_bytes()
    yield from other_formats()


def sample(form: str, *, side: int = SIDE, **options: object) -> bytes:
    return as_file(noise(side, side), form, **options)


# --- bombs: small files that unpack to much ---


def bombs() -> Iterator[Hostile]:
    for side in (1025, 5000, 30_000, 65_535, 2**31 - 1):
        yield Hostile(f"png that says {side} px", png_that_says(side, side))
        if side < 65_536:
            yield Hostile(f"jpeg that says {side} px", jpeg_that_says(side, side))
    for side in (1025, 5000, 16_383):
        yield Hostile(f"webp that says {side} px", webp_that_says(side, side))
        empty = Image.new("RGB", (side, 64))
        yield Hostile(f"webp of {side} x 64 black px", as_file(empty, "WEBP", lossless=True))
        yield Hostile(f"png of {side} x 64 black px", as_file(empty, "PNG"))
        yield Hostile(f"jpeg of {side} x 64 black px", as_file(empty, "JPEG"))
    flood = zlib.compress(bytes(64 * 2**20), 9)  # 64 MiB in 64 KiB, behind a header of 32 x 32
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, RGB, 0, 0, 0))
    end = chunk(b"IEND", b"")
    yield Hostile(
        "png with 64 MiB of pixels for 32 x 32",
        MAGIC + header + chunk(b"IDAT", flood) + end,
        holds_picture=True,
    )
    for kind in (b"zTXt", b"iTXt", b"iCCP"):
        prefix = b"name\x00\x00" if kind != b"iTXt" else b"name\x00\x01\x00\x00\x00"
        text = chunk(kind, prefix + flood)
        pixels = write_png(noise(32, 32), RGB, 8, extra=text * 60)
        yield Hostile(f"png with 60 {kind.decode()} that unpack to 64 MiB", pixels, True)


def png_that_says(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, RGB, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return MAGIC + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def jpeg_that_says(width: int, height: int) -> bytes:
    data = bytearray(sample("JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_that_says(width: int, height: int) -> bytes:
    data = bytearray(sample("WEBP", exif=b"Exif\0\0II"))
    assert data[12:16] == b"VP8X"
    data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


# --- files that end early, at every kind of place ---


def truncations() -> Iterator[Hostile]:
    originals = {
        "jpeg": sample("JPEG"),
        "progressive jpeg": sample("JPEG", progressive=True),
        "png": sample("PNG"),
        "interlaced png": write_png(noise(SIDE, SIDE), RGB, 8, interlaced=True),
        "webp": sample("WEBP"),
        "lossless webp": sample("WEBP", lossless=True),
    }
    for name, data in originals.items():
        for number in range(14):
            length = 3 + (len(data) - 16) * number // 13
            yield Hostile(f"{name} of {len(data)} bytes cut to {length}", data[:length])


# --- headers that contradict the pixels ---


def lying_headers() -> Iterator[Hostile]:
    data = sample("PNG")
    for width, height in ((SIDE, 4 * SIDE), (4 * SIDE, SIDE), (1024, 1024)):
        header = struct.pack(">IIBBBBB", width, height, 8, RGB, 0, 0, 0)
        lying = data[:8] + chunk(b"IHDR", header) + data[33:]
        yield Hostile(f"png of {SIDE} px that says {width} x {height}", lying)
        # What is missing of a JPEG is grey: its decoder makes no error of it.
        yield Hostile(
            f"jpeg of {SIDE} px that says {width} x {height}", jpeg_that_says(width, height), True
        )
        yield Hostile(
            f"webp of {SIDE} px that says {width} x {height}", webp_that_says(width, height)
        )
    for depth, colour in ((3, RGB), (8, 5), (16, 3), (0, GREY), (255, RGBA)):
        header = struct.pack(">IIBBBBB", SIDE, SIDE, depth, colour, 0, 0, 0)
        lying = data[:8] + chunk(b"IHDR", header) + data[33:]
        yield Hostile(f"png with {depth} bits of colour type {colour}", lying)
    indices = np.zeros((SIDE, SIDE, 1), np.uint8)
    for bits in (1, 2, 4, 8):
        yield Hostile(f"png of {bits} bits without its palette", write_png(indices, PALETTE, bits))
        clear = chunk(b"tRNS", b"\0")
        lying = write_png(indices, PALETTE, bits, extra=clear)
        yield Hostile(f"png of {bits} bits and alpha without its palette", lying)
    second = png_that_says(5000, 5000)[8:33]
    yield Hostile("png with a second, larger header", data[:33] + second + data[33:])
    yield Hostile("png with a wrong checksum", data[:60] + b"\x55" + data[61:])
    yield Hostile("png whose chunk is 4 GiB long", data[:33] + b"\xff\xff\xff\xff" + data[37:])
    yield Hostile("png without pixels", data[:33] + chunk(b"IEND", b""))
    jpeg = sample("JPEG")
    frame = jpeg.index(b"\xff\xc0")
    larger = jpeg_that_says(5000, 5000)[frame : frame + 19]
    yield Hostile(
        "jpeg with a second, larger frame",
        jpeg[:frame] + jpeg[frame : frame + 19] + larger + jpeg[frame + 19 :],
    )
    yield Hostile("jpeg with 255 components", jpeg[: frame + 9] + b"\xff" + jpeg[frame + 10 :])
    yield Hostile("jpeg with 16 bits a sample", jpeg[: frame + 4] + b"\x10" + jpeg[frame + 5 :])
    yield Hostile("jpeg without tables", jpeg[:2] + jpeg[frame:])


# --- files that are two things at once ---


def polyglots() -> Iterator[Hostile]:
    passengers = {
        "zip": b"PK\x03\x04" + b"passenger" * 100,
        "html": b"<html><script>passenger()</script></html>",
        "pdf": b"%PDF-1.7 passenger",
        "php": b"<?php passenger(); ?>",
        "elf": b"\x7fELF passenger",
    }
    for form in ("JPEG", "PNG", "WEBP"):
        for name, passenger in passengers.items():
            image = sample(form)
            yield Hostile(f"{name} before a {form}", passenger + image)
            yield Hostile(f"{form} before a {name}", image + passenger, holds_picture=True)
    comment = sample("JPEG", comment=passengers["php"])
    yield Hostile("php in the comment of a jpeg", comment, holds_picture=True)
    text = chunk(b"tEXt", b"Comment\x00" + passengers["php"])
    yield Hostile("php in a text of a png", write_png(noise(), RGB, 8, extra=text), True)
    yield Hostile("png inside a jpeg's name", sample("JPEG")[:4] + sample("PNG"))
    yield Hostile("jpeg's first bytes, then a png", b"\xff\xd8\xff" + sample("PNG"))
    yield Hostile("webp's first bytes, then a jpeg", b"RIFF\x10\x00\x00\x00WEBP" + sample("JPEG"))


# --- more than one frame ---


def animations() -> Iterator[Hostile]:
    for form in ("PNG", "WEBP"):
        for num_frames in (2, 30):
            frames = [Image.fromarray(noise(seed=seed)) for seed in range(num_frames)]
            data = as_file(frames[0], form, save_all=True, append_images=frames[1:])
            yield Hostile(f"{form} of {num_frames} frames", data)
    for num_frames in (0, 2, 2**31):
        control = chunk(b"acTL", struct.pack(">II", num_frames, 0))
        data = write_png(noise(), RGB, 8, extra=control)
        yield Hostile(f"png that says it has {num_frames} frames", data)
    yield Hostile(
        "png with half a frame count", write_png(noise(), RGB, 8, extra=chunk(b"acTL", b"\0")), True
    )
    frame = b"ANMF" + struct.pack("<I", 16) + bytes(16)
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + b"\x02" + bytes(3)
    body += (LARGE - 1).to_bytes(3, "little") * 2 + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    body += frame * 1500
    yield Hostile("webp of 1500 empty frames", b"RIFF" + struct.pack("<I", len(body)) + body)


# --- metadata that outweighs the picture ---


def heavy_metadata() -> Iterator[Hostile]:
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tag) for tag in range(0x8000, 0x8000 + 5000))
    directory = b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", 5000) + entries
    loop = b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", 1) + struct.pack("<HHII", 0x8769, 4, 1, 8)
    huge = b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", 1)
    huge += struct.pack("<HHII", 0x0112, 3, 2**31, 2**31)
    for name, exif in (("5000 entries", directory), ("a loop", loop), ("2 GiB of values", huge)):
        for form in ("JPEG", "PNG", "WEBP"):
            data = as_file(noise(), form, exif=b"Exif\x00\x00" + exif)
            yield Hostile(f"{form} with an EXIF of {name}", data, holds_picture=True)
    segment = (
        b"\xff\xe1" + struct.pack(">H", 65_000) + b"Exif\x00\x00" + directory.ljust(64_992, b"\0")
    )
    jpeg = sample("JPEG")
    yield Hostile("jpeg with 120 EXIF segments", jpeg[:2] + segment * 120 + jpeg[2:], True)
    resources = b"Photoshop 3.0\x00" + (b"8BIM\x04\x04\x00\x00\x00\x00\x00\x00" * 5000)
    photoshop = b"\xff\xed" + struct.pack(">H", len(resources) + 2) + resources
    yield Hostile("jpeg with 100 Photoshop segments", jpeg[:2] + photoshop * 100 + jpeg[2:], True)
    for form in ("JPEG", "PNG", "WEBP"):
        for size in (10, 128, 3000, 5 * 2**20):
            if form != "JPEG" or size < 65_000 * 255:
                profile = random.Random(size).randbytes(size)
                data = as_file(noise(), form, icc_profile=profile)
                yield Hostile(f"{form} with a profile of {size} random bytes", data, True)
        lying = bytearray(Image.core.__name__.encode() * 40)
        lying[16:20], lying[36:40] = b"RGB ", b"acsp"
        yield Hostile(
            f"{form} with a broken RGB profile",
            as_file(noise(), form, icc_profile=bytes(lying)),
            True,
        )


# --- files in more pieces than anybody would make ---


def endless_pieces() -> Iterator[Hostile]:
    jpeg, png, webp = sample("JPEG"), sample("PNG"), sample("WEBP")
    frame, scan = jpeg.index(b"\xff\xc0"), jpeg.index(b"\xff\xda")
    pieces = {
        "empty segments": b"\xff\xe0\x00\x02",
        "comments": b"\xff\xfe\x00\x02",
        "tables without entries": b"\xff\xc4\x00\x02",
    }
    for name, piece in pieces.items():
        many = piece * 1_000_000
        yield Hostile(f"jpeg with a million {name} before its frame", jpeg[:2] + many + jpeg[2:])
        yield Hostile(
            f"jpeg with a million {name} before its scan", jpeg[:scan] + many + jpeg[scan:]
        )
    fill = b"\xff" * 4_000_000
    yield Hostile(
        "jpeg with 4 MB of fill before its frame", jpeg[:frame] + fill + jpeg[frame:], True
    )
    junk = bytes(4_000_000)
    yield Hostile(
        "jpeg with 4 MB of zeros before its frame", jpeg[:frame] + junk + jpeg[frame:], True
    )
    progressive = sample("JPEG", side=LARGE, progressive=True)
    last = progressive.rindex(b"\xff\xda")
    for count in (100, 5000):
        scans = progressive[:-2] + progressive[last : last + 40] * count + b"\xff\xd9"
        yield Hostile(f"progressive jpeg with {count} more scans", scans)
    for kind in (b"tEXt", b"IDAT", b"quUx"):
        many = chunk(kind, b"a\x00b" if kind == b"tEXt" else b"") * 300_000
        yield Hostile(f"png with 300,000 {kind.decode()}", png[:33] + many + png[33:])
    many = b"quUx\x00\x00\x00\x00" * 500_000
    body = webp[8:] + many
    yield Hostile("webp with 500,000 chunks", b"RIFF" + struct.pack("<I", len(body)) + body)


# --- noise ---


def flipped_bytes() -> Iterator[Hostile]:
    rng = random.Random(0)
    for form in ("JPEG", "PNG", "WEBP"):
        data = sample(form)
        for number in range(10):
            broken = bytearray(data)
            for position in rng.sample(range(len(data)), 8):
                broken[position] = rng.randrange(256)
            yield Hostile(f"{form} with wrong bytes, {number}", bytes(broken), holds_picture=True)


def other_formats() -> Iterator[Hostile]:
    image = Image.fromarray(noise())
    for form in ("GIF", "BMP", "TIFF", "PPM", "ICO", "TGA", "PCX"):
        buffer = io.BytesIO()
        image.save(buffer, form)
        yield Hostile(f"a sound {form}", buffer.getvalue())
    yield Hostile("zeros", bytes(1000))
    yield Hostile("random bytes", np.random.default_rng(0).bytes(100_000))
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield Hostile("an SVG", svg)
    yield Hostile("a billion laughs", b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>')
