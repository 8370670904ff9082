"""The framing of a pack: from a picture and the points of one face in it to an aligned crop."""

import numpy as np

from model_store.faces.framing import (
    TEMPLATE,
    Points,
    Similarity,
    cut_crop,
    fit_similarity,
    invert,
    transform,
)
from model_store.image_tensor import RgbImage
from training.errors import DataError

# More of a crop than this beyond the picture's border is no face any more, but smeared edge pixels.
_MAX_OUTSIDE = 0.25


def align_face(image: RgbImage, points: Points) -> RgbImage:
    """Cut a face out in the pack's framing: turned upright, sized by its features.

    Args:
        image: (H, W, 3) uint8 RGB picture.
        points: (5, 2) as `TEMPLATE`, in pixels of the picture; NaN where a point is not known.

    Returns:
        (128, 128, 3) uint8 RGB, see `cut_crop`.

    Raises:
        DataError: the points give no similarity, or too much of the crop is beyond the picture.
    """
    try:
        crop_to_image = invert(fit_similarity(points, TEMPLATE))
    except ValueError as error:
        raise DataError(str(error)) from None
    _check_inside(crop_to_image, width=image.shape[1], height=image.shape[0])
    return cut_crop(image, crop_to_image)


def _check_inside(crop_to_image: Similarity, *, width: int, height: int) -> None:
    axis = (np.arange(32) + 0.5) / 32
    x, y = transform(crop_to_image, np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)).T
    outside = 1 - float(np.mean((x >= 0) & (x < width) & (y >= 0) & (y < height)))
    if outside > _MAX_OUTSIDE:
        raise DataError(
            f"{outside:.0%} of the face's crop is beyond the {width} x {height} px picture; "
            f"at most {_MAX_OUTSIDE:.0%} may be"
        )
