"""VGG16 (Simonyan and Zisserman 2015, configuration D) for feature distances and Gram matrices.

Two sets of weights are in use. Caffe's, the authors' own, want BGR in 0 to 255 less a mean and are
what Johnson et al. 2016 built the style loss on; torchvision's want normalised RGB and are what
LPIPS was fitted to. They have the same names and shapes and do not stand for each other.
"""

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from training.perceptual.weight_files import WeightFile, read_weights

_STAGES: Final = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_CAFFE_STAGES: Final = 3  # up to relu3_3
_BGR_MEAN: Final = (103.939, 116.779, 123.68)  # of ImageNet, subtracted by the authors
_WHITE: Final = 255.0

CAFFE_VGG16_FILE: Final = WeightFile(
    names=("vgg16_caffe_conv1_1-conv3_3_bgr.pth", "vgg16-00b39a1b.pth"),
    content="the authors' Caffe VGG16 under torchvision's tensor names (features.0.weight and on)",
    source="https://github.com/jcjohnson/pytorch-vgg (vgg16-00b39a1b.pth)",
    digest="9828d01d142c46eddbcc80bae0f698599982cfbe8e6a2dcb1b66a7d9cd855efb",
)
TORCHVISION_VGG16_FILE: Final = WeightFile(
    names=("vgg16-397923af.pth",),
    content="torchvision's VGG16 for ImageNet, the whole file as published",
    source="https://download.pytorch.org/models/vgg16-397923af.pth",
    file_digest="397923af",
)


class Vgg16(nn.Module):
    """The convolutions of VGG16 up to a stage; the layers are numbered as in torchvision.

    Attributes:
        widths: Channels of each activation that is returned.
    """

    def __init__(self, *, num_stages: int = len(_STAGES)) -> None:
        super().__init__()
        self.widths = tuple(stage[-1] for stage in _STAGES[:num_stages])
        layers: list[nn.Module] = []
        channels = 3
        for number, stage in enumerate(_STAGES[:num_stages]):
            if number > 0:
                layers.append(nn.MaxPool2d(2))
            for width in stage:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
        self.features = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the last activation of each stage: relu1_2, relu2_2, relu3_3 and on.

        Args:
            images: (N, 3, H, W), normalised as the weights want them; sides of at least 2 px for
                each pooling (128 px are halved up to four times).
        """
        taps = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                taps.append(images)
            images = layer(images)
        return [*taps, images]


class CaffeVgg16(nn.Module):
    """The authors' VGG16 up to relu3_3 on ordinary images; frozen.

    Activations are divided by 255, so that they are on the scale of an image in [0, 1]: only then
    do the paper's weights (k2 = 20, k3 = 50) make terms that are of one order with LPIPS. At
    Caffe's scale a Gram distance would be larger by 255 ** 4.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.network = Vgg16(num_stages=_CAFFE_STAGES)
        self.register_buffer("mean", torch.tensor(_BGR_MEAN)[:, None, None], persistent=False)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return relu1_2, relu2_2 and relu3_3 of (N, 3, H, W) RGB images in [0, 1], not clamped.

        In the caller's precision (autocast): bfloat16 takes 0.6 of float32's time on a CPU, and the
        gradients that it gives to an image point as float32's do (cosine 0.97 and more).
        """
        bgr = images.flip(1) * _WHITE - self.mean
        return [features / _WHITE for features in self.network(bgr)]


def load_caffe_vgg16(folder: Path) -> CaffeVgg16:
    """Load the authors' VGG16 up to relu3_3, in eval mode on the CPU.

    Raises:
        FeatureWeightsError: the file is missing or not the published one.
    """
    vgg16 = CaffeVgg16()
    _load(vgg16.network, folder, CAFFE_VGG16_FILE)
    return vgg16.eval()


def load_torchvision_vgg16(folder: Path) -> Vgg16:
    """Load torchvision's VGG16, all five stages, in eval mode on the CPU.

    Raises:
        FeatureWeightsError: the file is missing or not the published one.
    """
    vgg16 = Vgg16()
    _load(vgg16, folder, TORCHVISION_VGG16_FILE)
    return vgg16.eval()


def _load(network: Vgg16, folder: Path, file: WeightFile) -> None:
    expected = {name: value.shape for name, value in network.state_dict().items()}
    network.load_state_dict(read_weights(folder, file, expected=expected))
