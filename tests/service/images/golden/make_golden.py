"""Writes the golden files: one image of each kind of pixels, and what it is to become.

    python -m tests.service.images.golden.make_golden

`NAME.EXTENSION` is the image, `NAME.rgba.png` the expected 8-bit RGBA, computed here from the
samples that went into the image and never by the service's own code. The pictures are synthetic.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.service.images import profiles
from tests.service.images.png_writer import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGBA,
    chunk,
    write_png,
)

FOLDER = Path(__file__).resolve().parent
WIDTH, HEIGHT = 24, 16

Samples = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Golden:
    """A file and the RGBA levels that it means."""

    extension: str
    data: bytes
    rgba: npt.NDArray[np.uint8]


def ramp(maximum: int, *, shift: int = 0) -> Samples:
    """(H, W) levels of 0 to `maximum`, each occurring, none at rest."""
    positions = np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) * 7 + shift
    return positions % (WIDTH * HEIGHT) * (maximum + 1) // (WIDTH * HEIGHT)


def colours(maximum: int) -> Samples:
    """(H, W, 3), the channels unlike each other."""
    return np.stack([ramp(maximum, shift=shift) for shift in (0, 50, 200)], axis=-1)


def smooth() -> npt.NDArray[np.uint8]:
    """(H, W, 3) that a lossy format keeps well."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    return np.stack([40 + 7 * x, 200 - 9 * y, 90 + 3 * x + 2 * y], axis=-1).astype(np.uint8)


def with_alpha(
    rgb: npt.NDArray[np.integer], alpha: npt.NDArray[np.integer] | int = 255
) -> npt.NDArray[np.uint8]:
    full = np.broadcast_to(np.asarray(alpha), rgb.shape[:2])
    return np.dstack([rgb, full]).astype(np.uint8)


def grey_rgb(levels: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    return np.stack([levels] * 3, axis=-1)


def png(data: bytes, rgba: npt.NDArray[np.uint8]) -> Golden:
    return Golden("png", data, rgba)


def by_pillow(image: Image.Image, form: str, extension: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png_kinds() -> dict[str, Golden]:
    made = {}
    for bits in (1, 2, 4, 8):
        levels = ramp(2**bits - 1)
        stretched = levels * 255 // (2**bits - 1)
        made[f"grey-{bits}"] = png(
            write_png(levels[..., None], GREY, bits), with_alpha(grey_rgb(stretched))
        )
        key = chunk(b"tRNS", (1).to_bytes(2, "big"))
        made[f"grey-{bits}-key"] = png(
            write_png(levels[..., None], GREY, bits, extra=key),
            with_alpha(grey_rgb(stretched), np.where(levels == 1, 0, 255)),
        )
        made[f"palette-{bits}"], made[f"palette-{bits}-alpha"] = palette_kinds(bits)
    wide = ramp(65535)
    key = chunk(b"tRNS", int(wide[3, 3]).to_bytes(2, "big"))
    made["grey-16"] = png(write_png(wide[..., None], GREY, 16), with_alpha(grey_rgb(wide >> 8)))
    made["grey-16-key"] = png(
        write_png(wide[..., None], GREY, 16, extra=key),
        with_alpha(grey_rgb(wide >> 8), np.where(wide == wide[3, 3], 0, 255)),
    )
    for bits in (8, 16):
        made |= colour_kinds(bits)
    made["rgb-8-interlaced"] = png(
        write_png(colours(255), RGB, 8, interlaced=True), with_alpha(colours(255))
    )
    return made


def palette_kinds(bits: int) -> tuple[Golden, Golden]:
    indices = ramp(2**bits - 1)
    entries = np.random.default_rng(bits).integers(0, 256, (2**bits, 3))
    palette = chunk(b"PLTE", entries.astype(np.uint8).tobytes())
    alphas = np.full(2**bits, 255)
    alphas[: 2**bits // 2] = np.linspace(0, 200, 2**bits // 2)
    transparency = chunk(b"tRNS", alphas[: 2**bits // 2].astype(np.uint8).tobytes())
    return (
        png(
            write_png(indices[..., None], PALETTE, bits, extra=palette),
            with_alpha(entries[indices]),
        ),
        png(
            write_png(indices[..., None], PALETTE, bits, extra=palette + transparency),
            with_alpha(entries[indices], alphas.astype(np.uint8)[indices]),
        ),
    )


def colour_kinds(bits: int) -> dict[str, Golden]:
    maximum = 2**bits - 1
    rgb, alpha = colours(maximum), ramp(maximum, shift=111)
    shown, shown_alpha = rgb >> (bits - 8), alpha >> (bits - 8)
    key = chunk(b"tRNS", b"".join(int(level).to_bytes(2, "big") for level in rgb[2, 5]))
    is_key = (shown == shown[2, 5]).all(axis=-1)
    grey = rgb[..., 0]
    return {
        f"rgb-{bits}": png(write_png(rgb, RGB, bits), with_alpha(shown)),
        f"rgb-{bits}-key": png(
            write_png(rgb, RGB, bits, extra=key), with_alpha(shown, np.where(is_key, 0, 255))
        ),
        f"rgba-{bits}": png(
            write_png(np.dstack([rgb, alpha]), RGBA, bits), with_alpha(shown, shown_alpha)
        ),
        f"grey-alpha-{bits}": png(
            write_png(np.dstack([grey, alpha]), GREY_ALPHA, bits),
            with_alpha(grey_rgb(shown[..., 0]), shown_alpha),
        ),
    }


def jpeg_kinds() -> dict[str, Golden]:
    rgb = smooth()
    image, expected = Image.fromarray(rgb), with_alpha(rgb)

    def made(image: Image.Image, rgba: npt.NDArray[np.uint8], **options: object) -> Golden:
        return Golden("jpg", by_pillow(image, "JPEG", "jpg", quality=98, **options), rgba)

    grey = Image.fromarray(rgb[..., 0])
    inks = np.dstack([255 - rgb, np.zeros_like(rgb[..., 0])])
    cmyk = Image.fromarray(inks, mode="CMYK")
    kinds = {
        "grey": made(grey, with_alpha(grey_rgb(rgb[..., 0]))),
        "ycc-444": made(image, expected, subsampling=0),
        "ycc-420": made(image, expected, subsampling=2),
        "progressive": made(image, expected, progressive=True, subsampling=0),
        "rgb-coded": made(image, expected, keep_rgb=True),
        "cmyk": made(cmyk, expected),
    }
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = Image.fromarray(turned_back(rgb, orientation))
        kinds[f"orientation-{orientation}"] = made(stored, expected, exif=exif, subsampling=0)
    return kinds


def turned_back(rgb: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """What a camera stores with this orientation (TIFF 6.0): where row 0 and column 0 are seen."""
    stored = {
        2: rgb[:, ::-1],
        3: rgb[::-1, ::-1],
        4: rgb[::-1],
        5: rgb.transpose(1, 0, 2),
        6: rgb.transpose(1, 0, 2)[::-1],
        7: rgb.transpose(1, 0, 2)[::-1, ::-1],
        8: rgb.transpose(1, 0, 2)[:, ::-1],
    }
    return np.ascontiguousarray(stored[orientation])


def webp_kinds() -> dict[str, Golden]:
    rgb, alpha = smooth(), ramp(255).astype(np.uint8)
    opaque, translucent = Image.fromarray(rgb), Image.fromarray(np.dstack([rgb, alpha]))
    exact: dict[str, object] = {"lossless": True, "exact": True}
    return {
        "lossless": Golden("webp", by_pillow(opaque, "WEBP", "webp", **exact), with_alpha(rgb)),
        "lossless-alpha": Golden(
            "webp", by_pillow(translucent, "WEBP", "webp", **exact), with_alpha(rgb, alpha)
        ),
        "lossy": Golden("webp", by_pillow(opaque, "WEBP", "webp", quality=98), with_alpha(rgb)),
        "lossy-alpha": Golden(
            "webp",
            by_pillow(translucent, "WEBP", "webp", quality=98, exact=True),
            with_alpha(rgb, alpha),
        ),
    }


def profile_kinds() -> dict[str, Golden]:
    rgb = smooth()
    wide = profiles.wide_rgb_profile(1.8)
    linear = (rgb / 255) ** (round(1.8 * 256) / 256)
    in_srgb = np.rint(profiles.xyz_to_srgb(linear @ profiles.WIDE_TO_XYZ.T))
    grey = profiles.grey_profile(1.0)
    luminance = np.rint(profiles.xyz_to_srgb(rgb[..., :1] / 255 * profiles.WHITE_D50))
    inked, printed, press = printed_patches()
    image, level = Image.fromarray(rgb), Image.fromarray(rgb[..., 0])
    return {
        "profile-rgb": png(by_pillow(image, "PNG", "png", icc_profile=wide), with_alpha(in_srgb)),
        "profile-grey": png(
            by_pillow(level, "PNG", "png", icc_profile=grey), with_alpha(luminance)
        ),
        "profile-rgb-webp": Golden(
            "webp",
            by_pillow(image, "WEBP", "webp", lossless=True, icc_profile=wide),
            with_alpha(in_srgb),
        ),
        "profile-cmyk": Golden(
            "jpg",
            by_pillow(inked, "JPEG", "jpg", quality=100, subsampling=0, icc_profile=press),
            with_alpha(printed),
        ),
    }


def printed_patches() -> tuple[Image.Image, npt.NDArray[np.float64], bytes]:
    """The 16 full overprints of four inks in blocks of 8 px, their colours, and the press."""
    inks = np.array([[c, m, y, k] for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)])
    lab = np.array([100, 0, 0]) - inks @ np.array(
        [[15, 30, 30], [20, -40, 5], [5, 5, -40], [30, 0, 0]]
    )
    lab = np.clip(lab, [0, -60, -60], [100, 60, 60]).astype(float)
    lab[:, 0] = np.rint(lab[:, 0] * 2.55) / 2.55  # as eight bits of the table hold it
    blocks = np.kron(np.arange(16).reshape(4, 4), np.ones((8, 8), dtype=int))
    image = Image.fromarray((inks[blocks] * 255).astype(np.uint8), mode="CMYK")
    printed = np.rint(profiles.xyz_to_srgb(profiles.lab_to_xyz(lab[blocks])))
    return image, printed, profiles.cmyk_profile(lab)


def main() -> None:
    everything = png_kinds() | jpeg_kinds() | webp_kinds() | profile_kinds()
    for name, golden in everything.items():
        (FOLDER / f"{name}.{golden.extension}").write_bytes(golden.data)
        Image.fromarray(golden.rgba).save(FOLDER / f"{name}.rgba.png", optimize=True)


if __name__ == "__main__":
    main()
