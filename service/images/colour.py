"""Colours as a file's profile means them -> sRGB, in which the networks were trained."""

import io

from PIL import Image, ImageCms

# An ICC profile's header (ICC.1, 7.2): its colour space stands at byte 16.
_SPACE = slice(16, 20)
_MODES_BY_SPACE = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert grey, RGB or CMYK to RGB in sRGB, colours relative to the white.

    Without a profile, or with one that cannot be used (broken, of another colour space than the
    pixels, larger than any real one), RGB is taken for sRGB, grey for its three channels, and CMYK
    is subtracted from white.
    """
    converted = None if profile is None else _convert(image, profile)
    if converted is not None:
        return converted
    return image if image.mode == "RGB" else image.convert("RGB")


def _convert(image: Image.Image, profile: bytes) -> Image.Image | None:
    mode = _MODES_BY_SPACE.get(profile[_SPACE])
    if mode == "RGB" and image.mode == "L":
        image = image.convert("RGB")  # many programs give grey images the screen's profile
    if mode != image.mode:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None  # its pixels stay as they are, to the last bit
        converted = ImageCms.profileToProfile(
            image,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return converted
