"""The framing of face crops: which square of a picture a network for faces is shown.

One function cuts the crops that networks learn from and those that they are served with.
"""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_store.image_tensor import RgbImage

Points = npt.NDArray[np.float64]
"""(K, 2) x, y; in pixels a pixel's centre is at a half."""

Similarity = npt.NDArray[np.float64]
"""(2, 3) matrix M of a turn, a scale and a shift, without mirroring: M (x, y, 1)."""

CROP_PX = 128
"""Side of a crop at full resolution."""

# Where the points lie in a crop, in [0, 1]: their mean over 250 FFHQ faces, made symmetric. The
# means of deep-funneled LFW, cut to its middle, and of 50 faces of Helen are the same within 0.015.
TEMPLATE: Points = np.array(
    [[0.342, 0.341], [0.658, 0.341], [0.5, 0.515], [0.358, 0.678], [0.642, 0.678]]
)
"""(5, 2) eyes' centres, tip of the nose, mouth's corners; of a pair the image's left one first."""

# The mesh's nodes for them: iris centres, tip of the nose, corners of the mouth.
_MESH_NODES = (468, 473, 4, 61, 291)
# Pixels are turned on a finer grid, so that a bicubic kernel between its nodes costs no detail.
_OVERSAMPLING = 2
_KERNEL_REACH_PX = 4


def mesh_points(landmarks: npt.NDArray[np.float32], *, width: int, height: int) -> Points:
    """Return the five points of (..., 478, 3) meshes in pixels of their width x height image."""
    points: Points = landmarks[..., list(_MESH_NODES), :2].astype(np.float64) * (width, height)
    return points


def fit_similarity(source: Points, target: Points) -> Similarity:
    """Find the similarity that takes points to points.

    Args:
        source: (K, 2); rows with NaN, here or in the target, do not count. Two must be left.
        target: (K, 2).

    Returns:
        The one with the least sum of squared distances to the target.

    Raises:
        ValueError: fewer than two known points, or all at one place.
    """
    known = ~(np.isnan(source) | np.isnan(target)).any(1)
    points = source[known]
    if len(points) < 2 or np.ptp(points, axis=0).sum() == 0:
        raise ValueError(
            f"{len(points)} known points at {len(np.unique(points, axis=0))} places; an alignment "
            "needs two"
        )
    matrix: Similarity = fit_similarities(points, target[None, known])[0]
    return matrix


def fit_similarities(source: Points, targets: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Find the similarities that take the same points to several targets; see `fit_similarity`.

    Args:
        source: (K, 2), all known, not all at one place.
        targets: (N, K, 2), all known.

    Returns:
        (N, 2, 3).
    """
    # As complex numbers a similarity is z -> a z + b.
    z = source @ (1, 1j)
    w = targets @ (1, 1j)  # (N, K)
    centred = (z - z.mean()).conj()
    a = (w - w.mean(1, keepdims=True)) @ centred / np.square(np.abs(centred)).sum()
    b = w.mean(1) - a * z.mean()
    rows = [[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]]
    return np.moveaxis(np.array(rows), 2, 0)


def invert(matrix: Similarity) -> Similarity:
    """Return the similarity that undoes another."""
    inverse: Similarity = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    return inverse


def transform(matrix: Similarity, points: Points) -> Points:
    """Move (K, 2) points."""
    moved: Points = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def scale_of(matrix: Similarity) -> float:
    """How many times longer a similarity makes a line."""
    return math.hypot(matrix[0, 0], matrix[1, 0])


def compose(outer: Similarity, inner: Similarity) -> Similarity:
    """Return the similarity that does what `inner` does and then what `outer` does."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], transform(outer, inner[:, 2][None])[0]])


def cut_crop(image: RgbImage, crop_to_image: Similarity) -> RgbImage:
    """Cut a crop out of a picture, turned upright.

    Args:
        image: (H, W, 3) uint8 RGB.
        crop_to_image: from the crop's unit square to pixels of the picture.

    Returns:
        (128, 128, 3) uint8 RGB. Reductions are antialiased; beyond the picture its border pixels
        are repeated.
    """
    fine = sample_crop(image, crop_to_image, side_px=_OVERSAMPLING * CROP_PX)
    return np.asarray(Image.fromarray(fine).resize((CROP_PX, CROP_PX), Image.Resampling.BICUBIC))


def sample_crop(image: RgbImage, crop_to_image: Similarity, *, side_px: int) -> RgbImage:
    """Sample a crop of a picture on a grid, turned upright.

    A bicubic kernel between the picture's pixels costs some detail where the grid is hardly finer
    than they are: sample on one at least twice as fine as what is wanted in the end.

    Args:
        image: (H, W, 3) uint8 RGB.
        crop_to_image: from the crop's unit square to pixels of the picture.
        side_px: of the grid.

    Returns:
        (side_px, side_px, 3) uint8 RGB. Reductions are antialiased; beyond the picture its border
        pixels are repeated.
    """
    inverse = crop_to_image * ((1 / side_px, 1 / side_px, 1),)
    corners = transform(inverse, np.array([[0, 0], [side_px, 0], [0, side_px], [side_px] * 2]))
    left, top = (np.floor(corners.min(0)).astype(int) - _KERNEL_REACH_PX).tolist()
    right, bottom = (np.ceil(corners.max(0)).astype(int) + _KERNEL_REACH_PX).tolist()
    region = Image.fromarray(_cut_region(image, left, top, right, bottom))
    inverse[:, 2] -= (left, top)
    scale = scale_of(inverse)  # picture pixels a pixel of the grid
    if scale > 1:
        size = round(region.width / scale), round(region.height / scale)
        inverse = inverse * (np.array(size) / region.size)[:, None]
        region = region.resize(size, Image.Resampling.BICUBIC)
    turned = region.transform(
        (side_px, side_px),
        Image.Transform.AFFINE,
        tuple(inverse.flatten().tolist()),
        Image.Resampling.BICUBIC,
    )
    return np.asarray(turned)


def _cut_region(image: RgbImage, left: int, top: int, right: int, bottom: int) -> RgbImage:
    """Cut a box that may reach beyond the image, whose border pixels are repeated there."""
    height, width = image.shape[:2]
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return image[top:bottom, left:right]
    rows = np.clip(np.arange(top, bottom), 0, height - 1)
    columns = np.clip(np.arange(left, right), 0, width - 1)
    return image[rows][:, columns]
