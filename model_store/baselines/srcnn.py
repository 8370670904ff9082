"""SRCNN: three convolutions over the bicubic-enlarged image.

Dong, Loy, He, Tang: "Image Super-Resolution Using Deep Convolutional Networks" (TPAMI 2016,
arXiv:1501.00092); section 3.1 and figure 2, the sizes of section 4.3.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from model_store.baselines.config import BaselineConfig
from model_store.image_tensor import enlarge_bicubic

_LUMA_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True, kw_only=True)
class SRCNNConfig(BaselineConfig):
    """Sizes of an SRCNN. The defaults are the paper's best (9-5-5, section 4.3.2).

    Attributes:
        num_features: n1 and n2, channels behind the first and the second convolution.
        kernel_sizes: f1, f2 and f3, all odd; 9-1-5 is the paper's smallest.
        colour: "y" works on luma and takes the chroma from bicubic, as the paper's main
            experiments; "rgb" works on all three channels (section 4.5).
    """

    architecture: ClassVar[str] = "srcnn"

    num_features: tuple[int, ...] = (64, 32)
    kernel_sizes: tuple[int, ...] = (9, 5, 5)
    colour: Literal["y", "rgb"] = "y"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.num_features) != 2 or min(self.num_features) < 1:
            raise ValueError(f"num_features is {self.num_features}; it must be 2 counts from 1")
        if len(self.kernel_sizes) != 3 or any(size % 2 != 1 for size in self.kernel_sizes):
            raise ValueError(f"kernel_sizes is {self.kernel_sizes}; it must be 3 odd sizes")
        if self.colour not in ("y", "rgb"):
            raise ValueError(f"colour is {self.colour!r}; it must be 'y' or 'rgb'")


class SRCNN(nn.Module):
    """Patch extraction, non-linear mapping, reconstruction (section 3.1, equations 1 to 3).

    The paper's 57,184 weights (8,032 for 9-1-5, section 4.3.2) and their 97 biases. Where we
    differ: borders are padded with zeros, so that the image keeps its size, and the weights start
    at PyTorch's scale; the paper's deviation of 0.001 needs its 8e8 backpropagations.
    """

    def __init__(self, config: SRCNNConfig) -> None:
        super().__init__()
        self.config = config
        colours = 1 if config.colour == "y" else 3
        channels = (colours, *config.num_features, colours)
        self.patch_extraction, self.mapping, self.reconstruction = (
            nn.Conv2d(channels[i], channels[i + 1], kernel_size=size, padding=size // 2)
            for i, size in enumerate(config.kernel_sizes)
        )

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale (N, 3, h, w) RGB in [0, 1] to (N, 3, scale h, scale w), not clamped."""
        enlarged = enlarge_bicubic(lr, scale=self.config.scale)
        if self.config.colour == "rgb":
            return self._restore(enlarged)
        weights = enlarged.new_tensor(_LUMA_WEIGHTS)[:, None, None]
        luma = (enlarged * weights).sum(1, keepdim=True)
        # With its chroma kept, a pixel moves by the same amount in R, G and B.
        return enlarged + (self._restore(luma) - luma)

    def _restore(self, enlarged: Tensor) -> Tensor:
        features = F.relu(self.patch_extraction(enlarged))
        restored: Tensor = self.reconstruction(F.relu(self.mapping(features)))
        return restored
