"""LPIPS (Zhang et al. 2018), version 0.1: the learnt perceptual distance of two images.

Smaller is more alike. A value belongs to its backbone: ``lpips_squeeze`` and ``lpips_vgg`` do not
compare.
"""

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from training.perceptual.squeezenet import SQUEEZENET_FILE, SqueezeNetFeatures
from training.perceptual.vgg16 import Vgg16, load_torchvision_vgg16
from training.perceptual.weight_files import WeightFile, read_weights

# LPIPS's normalisation of RGB in [-1, 1].
_SHIFT: Final = (-0.030, -0.088, -0.188)
_SCALE: Final = (0.458, 0.448, 0.450)
# Under the root, so that a place without any activation has a gradient (zero).
_EPSILON: Final = 1e-10
_HEADS_SOURCE: Final = "https://github.com/richzhang/PerceptualSimilarity, lpips/weights/v0.1"

SQUEEZE_HEADS_FILE: Final = WeightFile(
    names=("lpips_v0.1_squeeze.pth",),
    content="LPIPS 0.1's heads for SqueezeNet (squeeze.pth; lin0.model.1.weight and on)",
    source=_HEADS_SOURCE,
    digest="55d9bd39ee2c777937ec5fa22a32531971c306d30dcf0d0e799648c767be7e5f",
)
VGG_HEADS_FILE: Final = WeightFile(
    names=("lpips_v0.1_vgg.pth",),
    content="LPIPS 0.1's heads for VGG16 (vgg.pth; lin0.model.1.weight and on)",
    source=_HEADS_SOURCE,
    digest="09016f6c713efecd87823d0ac57b392f1c5c47de4e54122e04c71f80cc4650a3",
)


class Lpips(nn.Module):
    """LPIPS distance of each pair of images; frozen.

    Freshly built it has random features and all channels count the same; the functions below load
    the published weights.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: SqueezeNetFeatures | Vgg16) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ParameterList(torch.full((width,), 1 / width) for width in backbone.widths)
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None], persistent=False)
        self.requires_grad_(False)

    def forward(self, images: Tensor, references: Tensor) -> Tensor:
        """Compare N pairs.

        In float32 or better, outside autocast: for SqueezeNet bfloat16 saves no time on a CPU.

        Args:
            images: (N, 3, H, W) RGB in [0, 1]; not clamped here.
            references: As many, of the same size.

        Returns:
            (N,) distances, at least 0, and 0 for equal images.

        Raises:
            ValueError: the two are not (N, 3, H, W) of one shape.
        """
        if images.shape != references.shape or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"images are {tuple(images.shape)} and {tuple(references.shape)}; both must be the "
                "same (N, 3, H, W)"
            )
        with torch.autocast(images.device.type, enabled=False):
            pairs = zip(self._activations(images), self._activations(references), strict=True)
            distances = [
                # (N, C, h, w) -> (N,)
                ((first - second).square() * head[:, None, None]).sum(1).mean((1, 2))
                for (first, second), head in zip(pairs, self.heads, strict=True)
            ]
            return torch.stack(distances).sum(0)

    def _activations(self, images: Tensor) -> list[Tensor]:
        images = images.to(torch.promote_types(images.dtype, torch.float32))
        taps: list[Tensor] = self.backbone((2 * images - 1 - self.shift) / self.scale)
        return [_normalise(features) for features in taps]


def load_squeeze_lpips(folder: Path) -> Lpips:
    """LPIPS with SqueezeNet, complete, in eval mode on the CPU.

    Args:
        folder: Holds the two files; see :func:`weight_files.feature_weights_folder`.

    Raises:
        FeatureWeightsError: a file is missing or not the published one.
    """
    backbone = SqueezeNetFeatures()
    expected = {name: value.shape for name, value in backbone.state_dict().items()}
    backbone.load_state_dict(read_weights(folder, SQUEEZENET_FILE, expected=expected))
    return _with_heads(Lpips(backbone), folder, SQUEEZE_HEADS_FILE)


def load_vgg_lpips(folder: Path) -> Lpips:
    """LPIPS with torchvision's VGG16, in eval mode on the CPU.

    Raises:
        FeatureWeightsError: a file is missing or not the published one.
    """
    return _with_heads(Lpips(load_torchvision_vgg16(folder)), folder, VGG_HEADS_FILE)


def _with_heads(lpips: Lpips, folder: Path, file: WeightFile) -> Lpips:
    names = [f"lin{i}.model.1.weight" for i in range(len(lpips.heads))]
    expected = {
        name: torch.Size((1, len(head), 1, 1))
        for name, head in zip(names, lpips.heads, strict=True)
    }
    weights = read_weights(folder, file, expected=expected)
    for head, name in zip(lpips.heads, names, strict=True):
        head.copy_(weights[name].flatten())
    return lpips.eval()


def _normalise(features: Tensor) -> Tensor:
    """Scale each place's channels to unit length."""
    return features * (features.square().sum(1, keepdim=True) + _EPSILON).rsqrt()
