"""Image files in and out: bytes <-> uint8 RGB, checked from the header on.

header.py reads format and size before anything is allocated by them; container.py leaves of a file
what a decoder needs, with exif.py and colour.py for what else concerns the pixels; decode.py and
encode.py are the ways in and out; codec.py walks them in threads of its own.
"""

from service.images.codec import ImageCodec
from service.images.decode import AlphaMask, DecodedImage, ImageLimits, decode_image, resize_alpha
from service.images.encode import MediaType, encode_image

__all__ = [
    "AlphaMask",
    "DecodedImage",
    "ImageCodec",
    "ImageLimits",
    "MediaType",
    "decode_image",
    "encode_image",
    "resize_alpha",
]
