"""The photo itself, enlarged by Lanczos: what lies around the faces."""

import numpy as np
from PIL import Image

from model_store.image_tensor import RgbImage
from service.images import AlphaMask

# Rows of the result that are made at a time: Pillow takes four bytes for each pixel of its own.
_BAND_PX = 256
# Rows of the photo that a kernel reaches beyond a band's own.
_REACH_PX = 4


def enlarge_photo(rgb: RgbImage, factor: int) -> RgbImage:
    """Enlarge an (H, W, 3) uint8 photo by Pillow's Lanczos, to a new array of its own."""
    if factor == 1:
        return rgb.copy()
    height, width = rgb.shape[:2]
    source = Image.fromarray(rgb)
    enlarged = np.empty((height * factor, width * factor, 3), np.uint8)
    for top in range(0, len(enlarged), _BAND_PX):
        bottom = min(top + _BAND_PX, len(enlarged))
        first = max(0, top // factor - _REACH_PX)
        last = min(height, -(-bottom // factor) + _REACH_PX)
        # Across first and down then, in two calls: in one, Pillow chooses the order by the size.
        wide = source.crop((0, first, width, last)).resize(
            (width * factor, last - first), Image.Resampling.LANCZOS
        )
        enlarged[top:bottom] = wide.resize(
            (width * factor, bottom - top),
            Image.Resampling.LANCZOS,
            box=(0, top / factor - first, width * factor, bottom / factor - first),
        )
    return enlarged


def enlarge_alpha(alpha: AlphaMask, factor: int) -> AlphaMask:
    """Enlarge an (H, W) uint8 alpha mask like its photo."""
    height, width = alpha.shape
    size = (width * factor, height * factor)
    return np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.LANCZOS))
