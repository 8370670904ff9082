"""LPIPS with SqueezeNet: the learnt perceptual distance of a model's image from the original."""

from collections.abc import Mapping, Sequence

import torch

from model_store.image_tensor import RgbImage, images_to_tensor
from training.evaluation.faces import FaceSet
from training.evaluation.measures.measure import Column
from training.perceptual.lpips import Lpips
from training.quality import Values

_BATCH_SIZE = 50


class PerceptualDistance:
    """LPIPS over the whole image.

    The paper does not name its backbone; LPIPS of another one has other values, so beside the
    paper's numbers only the order of models and the size of gaps can be read.
    """

    def __init__(self, lpips: Lpips) -> None:
        self._lpips = lpips
        self.columns: tuple[Column, ...] = (
            Column(
                "lpips_squeeze",
                "LPIPS",
                "SqueezeNet, version 0.1, whole image",
                higher_is_better=False,
                decimals=4,
            ),
        )

    def measure(self, images: Sequence[RgbImage], faces: FaceSet) -> Mapping[str, Values]:
        distances = []
        for start in range(0, len(images), _BATCH_SIZE):
            rows = slice(start, start + _BATCH_SIZE)
            pair = (images_to_tensor(side[rows]) for side in (images, faces.originals))
            with torch.inference_mode():
                distances.append(self._lpips(*pair))
        return {"lpips_squeeze": torch.cat(distances).double().numpy()}
