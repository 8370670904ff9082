"""An image file -> upright 8-bit sRGB with its transparency beside it, or why it is none.

What each kind of pixels becomes:

- grey of 1, 2, 4, 8 bits: its level in all three channels, stretched to 0 to 255;
- 16 bits a sample: the upper 8;
- a palette: its colours; transparent entries become alpha;
- one transparent colour (PNG's tRNS): alpha 0 where it stands, 255 elsewhere; of 16-bit colours the
  upper 8 bits are compared;
- CMYK and YCCK: by the profile, or subtracted from white; JPEGs have it inverted, as Adobe does;
- colours with a profile: converted to sRGB, see colour.py;
- EXIF orientation: applied; malformed EXIF is no error.

Colours under transparent pixels stay as the file has them. Metadata is dropped.
"""

import io
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_store.image_tensor import RgbImage
from service.errors import (
    CorruptImageError,
    ImageTooLargeError,
    ImageTooNarrowError,
    ImageTooSmallError,
)
from service.images.colour import to_srgb
from service.images.container import ImageFile, take_apart
from service.images.exif import read_orientation
from service.images.header import ImageHeader, read_header

AlphaMask = npt.NDArray[np.uint8]
"""(H, W) uint8, 0 transparent, 255 opaque."""

_TRANSPOSE_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What Pillow's decoders raise on broken files; they promise no one class.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    EOFError,
    struct.error,
    AssertionError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


@dataclass(frozen=True, kw_only=True)
class ImageLimits:
    """What an image may be; the names are those of the settings.

    Attributes:
        max_image_pixels: of the whole image, where its sides alone do not say enough.
        remedy: what to do about an image that is too large.
    """

    max_image_bytes: int
    min_image_side_px: int
    max_image_side_px: int
    max_aspect_ratio: float
    max_image_pixels: int | None = None
    remedy: str = "crop the face or scale it down"


@dataclass(frozen=True, kw_only=True)
class DecodedImage:
    """An upright image that owns its memory.

    Attributes:
        rgb: (H, W, 3) uint8.
        alpha: (H, W) uint8, or None where the file has no transparency.
    """

    rgb: RgbImage
    alpha: AlphaMask | None

    @property
    def width(self) -> int:
        return self.rgb.shape[1]

    @property
    def height(self) -> int:
        return self.rgb.shape[0]


def decode_image(data: bytes, limits: ImageLimits) -> DecodedImage:
    """Decode a JPEG, PNG or WebP file, its limits checked before a pixel is read.

    Raises:
        EmptyImageError: no bytes.
        UnsupportedImageFormatError: another format, or no image.
        AnimatedImageError: more than one frame.
        ImageTooLargeError: more bytes or pixels than the limits allow.
        ImageTooSmallError: a side below the limit.
        ImageTooNarrowError: sides too different.
        CorruptImageError: the file is broken or ends early.
    """
    if len(data) > limits.max_image_bytes:
        raise ImageTooLargeError(
            f"the image has {len(data)} bytes; at most {limits.max_image_bytes} are taken: "
            f"{limits.remedy}, or compress the file"
        )
    header = read_header(data)
    _check_size(header.width, header.height, limits)
    file = take_apart(data, header.format)
    try:
        if file.rows is not None:
            # Most files. Opened as a file they would take three times as long, at 16 px.
            size = (header.width, header.height)
            image = Image.frombytes("RGB", size, file.rows, "zip", "RGB")
        else:
            image = Image.open(io.BytesIO(file.data), formats=(header.format,))
            # A file can tell its size twice; what counts is what the decoder would allocate by.
            _check_size(*image.size, limits)
            image.load()
        return _convert(image, file, header)
    except _DECODER_ERRORS as error:
        raise CorruptImageError(
            f"the {header.format} image of {header.width} x {header.height} px is broken or ends "
            f"early, after {len(data)} bytes; send the whole file or export it again"
        ) from error


def resize_alpha(alpha: AlphaMask, *, width: int, height: int) -> AlphaMask:
    """Bring an alpha mask to the size of the upscaled colours, by Pillow's bicubic."""
    return np.array(Image.fromarray(alpha).resize((width, height), Image.Resampling.BICUBIC))


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    allowed = f"each side must be {limits.min_image_side_px} to {limits.max_image_side_px} px"
    if min(width, height) < limits.min_image_side_px:
        raise ImageTooSmallError(
            f"image is {width} x {height} px; {allowed}: send a larger crop of the face"
        )
    if max(width, height) > limits.max_image_side_px:
        raise ImageTooLargeError(f"image is {width} x {height} px; {allowed}: {limits.remedy}")
    if limits.max_image_pixels is not None and width * height > limits.max_image_pixels:
        raise ImageTooLargeError(
            f"image is {width} x {height} px, {width * height} in all; at most "
            f"{limits.max_image_pixels} are taken: {limits.remedy}"
        )
    if max(width, height) > limits.max_aspect_ratio * min(width, height):
        raise ImageTooNarrowError(
            f"image is {width} x {height} px; the longer side may be at most "
            f"{limits.max_aspect_ratio:g} times the shorter one: crop the face"
        )


def _convert(image: Image.Image, file: ImageFile, header: ImageHeader) -> DecodedImage:
    colours, alpha = _split_alpha(image, header.bit_depth)
    orientation = 1 if file.exif is None else read_orientation(file.exif)
    transpose = _TRANSPOSE_BY_ORIENTATION.get(orientation)
    rgb = to_srgb(colours, file.profile)
    if transpose is not None:
        rgb = rgb.transpose(transpose)
        alpha = None if alpha is None else alpha.transpose(transpose)
    return DecodedImage(rgb=np.array(rgb), alpha=None if alpha is None else np.array(alpha))


def _split_alpha(image: Image.Image, bit_depth: int) -> tuple[Image.Image, Image.Image | None]:
    """Part what Pillow decoded into colours (L, RGB or CMYK of 8 bits) and alpha (L)."""
    key = image.info.get("transparency")
    match image.mode:
        case "P" | "PA" if image.palette is None:
            raise ValueError("indices without a palette")  # Pillow makes them transparent, or fails
        case "P" | "PA" if image.has_transparency_data:
            rgba = image.convert("RGBA")
            return rgba.convert("RGB"), rgba.getchannel("A")
        case "P":
            return image.convert("RGB"), None
        case "LA" | "RGBA":
            return image.convert(image.mode[:-1]), image.getchannel("A")
        case "1" | "L" | "I;16" | "I":
            return _grey(image, bit_depth, key if isinstance(key, int) else None)
        case "RGB" if isinstance(key, tuple):
            wanted = np.array(key) >> max(bit_depth - 8, 0)
            is_key = (np.asarray(image) == wanted).all(axis=-1)
            return _without_key(image), _mask(is_key)
        case "RGB" | "CMYK":
            return image, None
        case _:
            return image.convert("RGB"), None


def _grey(
    image: Image.Image, bit_depth: int, key: int | None
) -> tuple[Image.Image, Image.Image | None]:
    """Grey of any depth; the transparent level is compared as the file has it."""
    levels = np.asarray(image)
    if image.mode == "1":
        levels = levels.astype(np.uint8) * 255
    if levels.dtype != np.uint8:
        colours = Image.fromarray((levels.astype(np.uint16) >> 8).astype(np.uint8))
        return colours, None if key is None else _mask(levels == key)
    if key is not None and image.mode != "1":
        key = key * 255 // (2 ** min(bit_depth, 8) - 1)  # Pillow has stretched the levels alone
    return Image.fromarray(levels), None if key is None else _mask(levels == key)


def _without_key(image: Image.Image) -> Image.Image:
    """The same pixels; Pillow would make a conversion's transparency of the key."""
    return Image.fromarray(np.asarray(image))


def _mask(is_transparent: npt.NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(np.where(is_transparent, 0, 255).astype(np.uint8))
