"""Loss networks with random weights, in float64, small enough for finite differences."""

import torch
from torch import Tensor, nn

from model_store.affectsrnet.landmark_gcn import LandmarkGCN
from model_store.emotion.classifier import EmotionClassifier
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from training.losses.affectsr_loss import LossNetworks
from training.losses.nodes import NodeDistance, embed_by
from training.perceptual.lpips import Lpips
from training.perceptual.squeezenet import SqueezeNetFeatures
from training.perceptual.vgg16 import CaffeVgg16


class MeanColours(EmotionClassifier):
    """Reads "expressions" from the mean colours of the crop's quarters."""

    def __init__(self) -> None:
        super().__init__(12)

    def features(self, crops: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(crops, 2).flatten(1) - 0.4


def random_landmarker() -> Landmarker:
    """A landmarker whose landmarks depend on the image."""
    landmarker = Landmarker(LandmarkerConfig(num_coefficients=4, widths=(2,), blocks=(1,)))
    nn.init.normal_(landmarker.coefficients.weight, std=0.1)
    nn.init.normal_(landmarker.basis, std=0.1)
    return landmarker.double().eval().requires_grad_(False)


def random_networks() -> LossNetworks:
    """All networks that a loss may need."""
    torch.manual_seed(0)
    return LossNetworks(
        lpips=Lpips(SqueezeNetFeatures()).double(),
        vgg16=CaffeVgg16().double(),
        nodes=NodeDistance(random_landmarker(), embed_by(LandmarkGCN(4, 2).double())),
        expression=MeanColours(),
    )


def random_faces(count: int = 2, *, side_px: int = 18) -> tuple[Tensor, Tensor, Tensor]:
    """SR images, HR images and landmarks, none of which belongs to the others."""
    generator = torch.Generator().manual_seed(3)
    sr, hr = torch.rand(2, count, 3, side_px, side_px, generator=generator).double()
    landmarks = torch.rand(count, 478, 3, generator=generator).double()
    return sr, hr, landmarks
