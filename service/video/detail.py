"""What a network adds to a face, kept from flickering from frame to frame.

A network makes details of noise, and other ones of other noise. Where a face has not moved since
the frame before, what was added to it then is as likely as what is added now, so the mean of both
is taken; where it has moved, what is added now. The picture itself is left as it is.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from model_store.image_tensor import RgbImage

_Floats = npt.NDArray[np.float32]

# Part of the new detail that counts where nothing moves: a mean over about ten frames.
_LEAST_SHARE = 0.2
# Mean difference of a pixel's surroundings in levels of 255 that is noise, and one that is motion.
_NOISE_LEVELS = 2.0
_MOTION_LEVELS = 8.0
_SURROUNDINGS_PX = 4


class SteadyDetail:
    """The details of one face, over the frames of a clip."""

    def __init__(self) -> None:
        self._plain: RgbImage | None = None
        self._detail: _Floats | None = None

    def update(self, plain: RgbImage, upscaled: RgbImage) -> RgbImage:
        """Steady the next frame's result; all frames of a face have one size.

        Args:
            plain: (H, W, 3) uint8, the face enlarged without a network.
            upscaled: (H, W, 3) uint8, the same by the network.

        Returns:
            (H, W, 3) uint8.
        """
        detail = upscaled.astype(np.float32) - plain
        if self._detail is not None and self._plain is not None:
            share = _share_of_new(plain, self._plain)
            detail = share * detail + (1 - share) * self._detail
        self._plain, self._detail = plain, detail
        steady: RgbImage = np.rint(np.clip(plain + detail, 0, 255)).astype(np.uint8)
        return steady


def _share_of_new(plain: RgbImage, before: RgbImage) -> _Floats:
    """(H, W, 1): how much of a new detail counts, by what has moved around each pixel."""
    difference = plain.astype(np.int16) - before
    # Signed and smoothed first, so that noise cancels out and motion does not.
    smooth = np.stack(
        [_blur(difference[..., channel]) for channel in range(difference.shape[2])], axis=-1
    )
    levels = np.abs(smooth).mean(-1, keepdims=True)
    motion = np.clip((levels - _NOISE_LEVELS) / (_MOTION_LEVELS - _NOISE_LEVELS), 0, 1)
    share: _Floats = (_LEAST_SHARE + (1 - _LEAST_SHARE) * motion).astype(np.float32)
    return share


def _blur(channel: npt.NDArray[np.int16]) -> _Floats:
    """The mean over a square around each pixel."""
    # Pillow filters bytes only: halved and moved, [-255, 255] fits.
    halves = ((channel + 256) // 2).astype(np.uint8)
    blurred = Image.fromarray(halves).filter(ImageFilter.BoxBlur(_SURROUNDINGS_PX))
    means: _Floats = np.asarray(blurred, dtype=np.float32) * 2 - 255.5
    return means
