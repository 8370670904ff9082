"""From a face and its landmarks to the crop that is classified: one function for all who do so.

The frame is that of RAF-DB's aligned crops, which are 1.3 times wider for their height than faces
are. Measured on 800 crops of its training split, 758 of them with a face for MediaPipe: its points
lie 1.2 to 1.4 px of 112 from ``TEMPLATE`` in the median and less than 0.1 px beside it on average,
so these crops are in the frame as they are. Our Landmarker's points there are 1.4 to 1.6 px from
MediaPipe's (NME 0.031, below its confidence 1.5 % of the faces), but the stretched eyes are 1.6 px
closer together: re-aligned by it, the crops would come out 3.5 % wider. On natural faces it is less
mistaken (FFHQ, CelebA, Helen: 1.1 to 1.3 px, eyes 0.3 to 0.8 px closer, so 0.6 to 1.5 % wider).
Hence RAF-DB is learnt from as it is, with shifts of about 1.5 px, and everything else is aligned.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model_store.emotion.classifier import CROP_PX
from model_store.image_tensor import resize_bicubic
from model_store.landmarks.topology import (
    LEFT_EYE_INNER_CORNER,
    LEFT_EYE_OUTER_CORNER,
    LEFT_MOUTH_CORNER,
    RIGHT_EYE_INNER_CORNER,
    RIGHT_EYE_OUTER_CORNER,
    RIGHT_MOUTH_CORNER,
)

TEMPLATE = ((28.5, 39.3), (81.2, 39.3), (55.3, 83.1))
"""x, y in px of 112 of the middle of the right eye (on the left of the image), of the left eye, and
of the mouth: medians of RAF-DB's aligned crops. Corners tell an eye's middle whether or not it is
open, and wherever it looks; the irises are at (27.5, 38.4) and (82.1, 38.3) there."""

_TEMPLATE_NODES = (
    (RIGHT_EYE_OUTER_CORNER, RIGHT_EYE_INNER_CORNER),
    (LEFT_EYE_OUTER_CORNER, LEFT_EYE_INNER_CORNER),
    (RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER),
)
# From eye to eye a face takes up to half of its image's width. At 128 px a pixel of the crop then
# covers 1.2 of the image at most, as a bicubic sample does; at 256 px 2.4, as four samples do.
_SINGLE_SAMPLE_PX = 128
_MAX_SIDE_PX = 256


def align_expression_crops(images: Tensor, landmarks: Tensor) -> Tensor:
    """Bring faces into the classifier's frame: the affine map of eyes and mouth to the template.

    Each pixel is a bicubic sample of the image. Of images above 128 px it is the mean of four, and
    those above 256 px are brought to that first (antialiased). Beyond the image its border pixels
    are repeated. A face's company in the batch changes nothing.

    Args:
        images: (N, 3, H, W) RGB in [0, 1], any size.
        landmarks: (N, 478, 3) or (N, 478, 2); x, y in [0, 1] of the image.

    Returns:
        (N, 3, 112, 112) RGB in [0, 1], of the landmarks' dtype. Differentiable by both.
    """
    with torch.autocast(images.device.type, enabled=False):
        height, width = (min(side, _MAX_SIDE_PX) for side in images.shape[-2:])
        reduced = resize_bicubic(images.to(landmarks.dtype), height=height, width=width)
        oversampling = 1 if max(height, width) <= _SINGLE_SAMPLE_PX else 2
        fine_px = oversampling * CROP_PX
        grid = F.affine_grid(
            _crop_to_image(landmarks), [len(images), 3, fine_px, fine_px], align_corners=False
        )
        sampled = F.grid_sample(
            reduced, grid, mode="bicubic", padding_mode="border", align_corners=False
        )
        if oversampling > 1:
            sampled = F.avg_pool2d(sampled, oversampling)
        return sampled.clamp(0, 1)


def _crop_to_image(landmarks: Tensor) -> Tensor:
    """Return the (N, 2, 3) affine maps from the crop's places to the image's, both in [-1, 1]."""
    points = 2 * _alignment_points(landmarks) - 1
    # The map takes template point k to image point k, so its columns are sums of image points with
    # the inverse template's numbers. Plain floats: nothing is copied to the device.
    columns = [
        sum((points[:, k] * weight for k, weight in enumerate(weights)), start=points.new_zeros(()))
        for weights in zip(*_INVERSE_TEMPLATE, strict=True)
    ]
    return torch.stack(columns, dim=2)


def _alignment_points(landmarks: Tensor) -> Tensor:
    """Return what is laid onto the template: (N, 478, 2 or 3) -> (N, 3, 2) in [0, 1]."""
    middles = [(landmarks[:, a, :2] + landmarks[:, b, :2]) / 2 for a, b in _TEMPLATE_NODES]
    return torch.stack(middles, dim=1)


def _inverse_template() -> tuple[tuple[float, ...], ...]:
    """Invert the 3 x 3 matrix whose columns are the template's points (x, y, 1) in [-1, 1]."""
    points = torch.tensor([[2 * x / CROP_PX - 1, 2 * y / CROP_PX - 1, 1.0] for x, y in TEMPLATE])
    inverse: list[list[float]] = torch.linalg.inv(points.double().T).tolist()
    return tuple(tuple(row) for row in inverse)


_INVERSE_TEMPLATE = _inverse_template()
