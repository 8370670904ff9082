"""PSNR and SSIM by one protocol."""

from collections.abc import Mapping, Sequence

import numpy as np

from model_store.image_tensor import RgbImage, images_to_tensor
from training.evaluation.faces import FaceSet
from training.evaluation.measures.measure import Column
from training.quality import SFMNET, QualityProtocol, Values, luma, psnr, ssim


class ImageQuality:
    """PSNR and SSIM on Y, and PSNR over the three channels with the same border left out.

    Columns of ``sfmnet``, to which the paper's tables belong, bear no prefix.
    """

    def __init__(self, protocol: QualityProtocol) -> None:
        self._protocol = protocol
        self._prefix = "" if protocol == SFMNET else f"{protocol.name}_"
        self.columns: tuple[Column, ...] = (
            self._column("psnr_db", "PSNR, dB", decimals=3),
            self._column("ssim", "SSIM", decimals=4),
            self._column("psnr_rgb_db", "PSNR of RGB, dB", decimals=3),
        )

    def measure(self, images: Sequence[RgbImage], faces: FaceSet) -> Mapping[str, Values]:
        ours, originals = images_to_tensor(images), images_to_tensor(faces.originals)
        border = self._protocol.crop_border
        pairs = zip(images, faces.originals, strict=True)
        on_luma = psnr(luma(ours), luma(originals), crop_border=border)
        return {
            f"{self._prefix}psnr_db": on_luma.numpy(),
            f"{self._prefix}ssim": np.array([ssim(*p, protocol=self._protocol) for p in pairs]),
            f"{self._prefix}psnr_rgb_db": psnr(
                ours * 255, originals * 255, crop_border=border
            ).numpy(),
        }

    def _column(self, name: str, title: str, *, decimals: int) -> Column:
        return Column(
            f"{self._prefix}{name}",
            title,
            self._protocol.name,
            higher_is_better=True,
            decimals=decimals,
        )
