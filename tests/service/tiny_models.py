"""Real networks, tiny and untrained, published as the service expects them."""

from pathlib import Path

import torch

from model_store.affectsrnet.config import AffectSRNetConfig
from model_store.affectsrnet.network import AffectSRNet
from model_store.emotion.mobilefacenet import MobileFaceNetClassifier, MobileFaceNetConfig
from model_store.emotion.recoverability import AgreementCalibration, AgreementCalibrationConfig
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from model_store.store import ModelStore
from tests.published import publish_untrained
from tests.tiny_detectors import blind_detector


def tiny_network(scale: int, *, landmark_fusion: bool = True) -> AffectSRNet:
    torch.manual_seed(scale)
    return AffectSRNet(
        AffectSRNetConfig(
            scale=scale,
            num_features=8,
            growth_channels=4,
            num_blocks=1,
            gcn_features=8,
            gcn_layers=1,
            graph_map_channels=8,
            landmark_fusion=landmark_fusion,
        )
    ).eval()


def tiny_landmarker(*, confidence_logit: float = 3.0) -> Landmarker:
    torch.manual_seed(0)
    landmarker = Landmarker(
        LandmarkerConfig(num_coefficients=4, widths=(4, 5, 6, 8), blocks=(1, 1, 1, 1))
    )
    torch.nn.init.zeros_(landmarker.confidence.weight)
    torch.nn.init.constant_(landmarker.confidence.bias, confidence_logit)
    torch.nn.init.normal_(landmarker.basis, std=0.01)
    return landmarker.eval()


def tiny_classifier(*, seed: int = 0) -> MobileFaceNetClassifier:
    """A classifier that is sure of something, and of other things in other images."""
    torch.manual_seed(seed)
    classifier = MobileFaceNetClassifier(
        MobileFaceNetConfig(
            stem_width=4, widths=(4, 4, 4), expansions=(1, 1, 1), blocks=(1, 1, 1), num_features=8
        )
    )
    torch.nn.init.normal_(classifier.classes.weight)
    # With the statistics of what it is shown, its features do not vanish.
    for module in classifier.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        classifier(torch.rand(16, 3, 4, 4).repeat_interleave(28, 2).repeat_interleave(28, 3))
    return classifier.eval()


def calibration_for(upscaler_sha256: str, classifier_sha256: str) -> AgreementCalibration:
    """A calibration that nobody fitted: it weighs how sure the result's reading is."""
    calibration = AgreementCalibration(
        AgreementCalibrationConfig(
            scale=4,
            upscaler="affectsrnet-x4@1",
            upscaler_sha256=upscaler_sha256,
            classifier="emotion-mobilefacenet@1",
            classifier_sha256=classifier_sha256,
        )
    )
    calibration.coefficients[1] = 0.5
    return calibration


def publish_tiny_models(root: Path) -> ModelStore:
    """Publish affectsrnet-x4 and -x8, a sure landmarker, emotion-mobilefacenet, and a
    face-detector that finds nothing.
    """
    store = ModelStore(root)
    for name, network in (
        ("affectsrnet-x4", tiny_network(4)),
        ("affectsrnet-x8", tiny_network(8)),
        ("landmarker", tiny_landmarker()),
        ("emotion-mobilefacenet", tiny_classifier()),
        ("face-detector", blind_detector()),
    ):
        publish_untrained(store, network, name=name)
    return store
