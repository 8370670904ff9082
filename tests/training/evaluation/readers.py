"""A reader whose expressions follow from colours, so that a test can paint what it reads."""

import numpy as np
import torch
from torch import Tensor

from model_store.emotion.classifier import EMOTIONS
from model_store.emotion.reader import EmotionReadings
from model_store.image_tensor import RgbImage

_NUM_CLASSES = len(EMOTIONS)


class PaintedReader:
    """The first seven pixels' red says how likely each expression is; their blue, a fallback.

    Attributes:
        num_read: Images read so far.
    """

    def __init__(self) -> None:
        self.num_read = 0

    def read(self, images: Tensor) -> EmotionReadings:
        self.num_read += len(images)
        reds = images[:, 0, 0, :_NUM_CLASSES].double()
        return EmotionReadings(
            (reds / reds.sum(1, keepdim=True)).float(),
            torch.zeros(len(images), 478, 3),
            torch.ones(len(images)),
            images[:, 2, 0, 0] > 0.5,
        )


def paint(reds: list[int], *, is_fallback: bool = False) -> RgbImage:
    """An image in which the reader finds expressions in these proportions."""
    image = np.zeros((128, 128, 3), dtype=np.uint8)
    image[0, : len(reds), 0] = reds
    image[0, 0, 2] = 255 if is_fallback else 0
    return image


def paint_faces(count: int, *, seed: int) -> list[RgbImage]:
    """Faces of random expressions."""
    rng = np.random.default_rng(seed)
    reds = (1 + rng.gamma(0.3, 40, (count, _NUM_CLASSES))).clip(1, 255).astype(int)
    return [paint(row) for row in reds.tolist()]
