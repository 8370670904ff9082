"""The framing of a pack: from a picture and the points of one face in it to an aligned crop."""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_store.image_tensor import RgbImage
from training.data.pack import FACE_SIDE_PX
from training.errors import DataError

Points = npt.NDArray[np.float64]
"""(5, 2) x, y of both eyes' centres, the nose's tip and the mouth's corners; of a pair the one on
the left of the image comes first. NaN where a point is not known."""

# Where the points lie in a crop, in [0, 1]: their mean over 250 FFHQ faces, made symmetric. The
# means of deep-funneled LFW, cut to its middle, and of 50 faces of Helen are the same within 0.015.
TEMPLATE: Points = np.array(
    [[0.342, 0.341], [0.658, 0.341], [0.5, 0.515], [0.358, 0.678], [0.642, 0.678]]
)
# The mesh's nodes for them: iris centres, tip of the nose, corners of the mouth.
_MESH_NODES = (468, 473, 4, 61, 291)
# More of a crop than this beyond the picture's border is no face any more, but smeared edge pixels.
_MAX_OUTSIDE = 0.25
# Pixels are turned on a finer grid, so that a bicubic kernel between its nodes costs no detail.
_OVERSAMPLING = 2


def mesh_points(landmarks: npt.NDArray[np.float32], *, width: int, height: int) -> Points:
    """Return the five points of a (478, 3) mesh in pixels of its width x height image."""
    points: Points = landmarks[list(_MESH_NODES), :2].astype(np.float64) * (width, height)
    return points


def fit_similarity(source: Points, target: Points) -> Points:
    """Find the similarity (turn, scale, shift; no mirroring) that takes points to points.

    Args:
        source: (K, 2); rows with NaN, here or in the target, do not count. Two must be left.
        target: (K, 2).

    Returns:
        (2, 3) matrix M with the least sum of squared distances of M (x, y, 1) to the target.

    Raises:
        DataError: fewer than two known points, or all at one place.
    """
    known = ~(np.isnan(source) | np.isnan(target)).any(1)
    # As complex numbers a similarity is z -> a z + b.
    z = source[known] @ (1, 1j)
    w = target[known] @ (1, 1j)
    if len(z) < 2 or np.ptp(z.real) + np.ptp(z.imag) == 0:
        raise DataError(f"{len(z)} known points at {len(set(z))} places; an alignment needs two")
    centred = z - z.mean()
    a = np.vdot(centred, w - w.mean()) / np.vdot(centred, centred).real
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def align_face(image: RgbImage, points: Points) -> RgbImage:
    """Cut a face out in the pack's framing: turned upright, sized by its features.

    Args:
        image: (H, W, 3) uint8 RGB picture.
        points: (5, 2) in pixels of the picture; a pixel's centre is at a half.

    Returns:
        (128, 128, 3) uint8 RGB. Reductions are antialiased; beyond the picture its border pixels
        are repeated.

    Raises:
        DataError: the points give no similarity, or too much of the crop is beyond the picture.
    """
    fine_px = _OVERSAMPLING * FACE_SIDE_PX
    forward = fit_similarity(points, TEMPLATE * fine_px)
    inverse = _invert(forward)
    corners = _transform(inverse, np.array([[0, 0], [fine_px, 0], [0, fine_px], [fine_px] * 2]))
    _check_inside(inverse, width=image.shape[1], height=image.shape[0])
    left, top = np.floor(corners.min(0)).astype(int) - 4  # the bicubic kernel's reach
    right, bottom = np.ceil(corners.max(0)).astype(int) + 4
    region = Image.fromarray(_cut_region(image, left, top, right, bottom))
    inverse[:, 2] -= (left, top)
    scale = math.hypot(inverse[0, 0], inverse[1, 0])  # picture pixels a pixel of the fine grid
    if scale > 1:
        size = round(region.width / scale), round(region.height / scale)
        inverse = inverse * (np.array(size) / region.size)[:, None]
        region = region.resize(size, Image.Resampling.BICUBIC)
    turned = region.transform(
        (fine_px, fine_px),
        Image.Transform.AFFINE,
        tuple(inverse.flatten().tolist()),
        Image.Resampling.BICUBIC,
    )
    return np.asarray(turned.resize((FACE_SIDE_PX, FACE_SIDE_PX), Image.Resampling.BICUBIC))


def _invert(matrix: Points) -> Points:
    inverse: Points = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    return inverse


def _transform(matrix: Points, points: Points) -> Points:
    moved: Points = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def _check_inside(inverse: Points, *, width: int, height: int) -> None:
    axis = (np.arange(32) + 0.5) * (_OVERSAMPLING * FACE_SIDE_PX / 32)
    x, y = _transform(inverse, np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)).T
    outside = 1 - float(np.mean((x >= 0) & (x < width) & (y >= 0) & (y < height)))
    if outside > _MAX_OUTSIDE:
        raise DataError(
            f"{outside:.0%} of the face's crop is beyond the {width} x {height} px picture; "
            f"at most {_MAX_OUTSIDE:.0%} may be"
        )


def _cut_region(image: RgbImage, left: int, top: int, right: int, bottom: int) -> RgbImage:
    """Cut a box that may reach beyond the image, whose border pixels are repeated there."""
    rows = np.clip(np.arange(top, bottom), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(left, right), 0, image.shape[1] - 1)
    return image[rows][:, columns]
