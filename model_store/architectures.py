"""The networks that a manifest can name, by architecture."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from torch import nn

from model_store.affectsrnet.config import AffectSRNetConfig
from model_store.affectsrnet.network import AffectSRNet
from model_store.baselines.dic import DIC, DICConfig
from model_store.baselines.edsr import EDSR, EDSRConfig
from model_store.baselines.fsrnet import FSRNet, FSRNetConfig
from model_store.baselines.sparnet import SPARNet, SPARNetConfig
from model_store.baselines.srcnn import SRCNN, SRCNNConfig
from model_store.emotion.ddamfn import DDAMFN
from model_store.emotion.ensemble import EmotionEnsemble, EmotionEnsembleConfig
from model_store.emotion.mixed_feature_net import DDAMFNConfig
from model_store.emotion.mobilefacenet import MobileFaceNetClassifier, MobileFaceNetConfig
from model_store.emotion.recoverability import AgreementCalibration, AgreementCalibrationConfig
from model_store.faces.blazeface import BlazeFace, BlazeFaceConfig
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig

UpscalerConfig = (
    AffectSRNetConfig | SRCNNConfig | EDSRConfig | FSRNetConfig | DICConfig | SPARNetConfig
)
"""What a network from LR faces to HR faces is built from; each names its ``architecture``."""
Upscaler = AffectSRNet | SRCNN | EDSR | FSRNet | DIC | SPARNet
"""A network from LR faces to HR faces."""
SingleClassifierConfig = DDAMFNConfig | MobileFaceNetConfig
"""What a network that tells expressions apart and can be trained is built from."""
ClassifierConfig = SingleClassifierConfig | EmotionEnsembleConfig
"""What a network that tells expressions apart is built from."""
SingleClassifier = DDAMFN | MobileFaceNetClassifier
"""One of them by itself, as it was trained."""
Classifier = SingleClassifier | EmotionEnsemble
"""A network from aligned crops of faces to their expressions."""
NetworkConfig = (
    UpscalerConfig
    | LandmarkerConfig
    | ClassifierConfig
    | AgreementCalibrationConfig
    | BlazeFaceConfig
)
Network = Upscaler | Landmarker | Classifier | AgreementCalibration | BlazeFace

_CONFIG_CLASSES: Mapping[str, type[NetworkConfig]] = {
    config_class.architecture: config_class
    for config_class in (
        AffectSRNetConfig,
        SRCNNConfig,
        EDSRConfig,
        FSRNetConfig,
        DICConfig,
        SPARNetConfig,
        LandmarkerConfig,
        DDAMFNConfig,
        MobileFaceNetConfig,
        EmotionEnsembleConfig,
        AgreementCalibrationConfig,
        BlazeFaceConfig,
    )
}


def build_network(architecture: str, config: Mapping[str, object]) -> Network:
    """Build an untrained network from what a manifest says of it.

    Raises:
        ValueError: an unknown architecture, or a configuration that it does not accept.
    """
    if architecture not in _CONFIG_CLASSES:
        known = ", ".join(_CONFIG_CLASSES)
        raise ValueError(f"architecture is {architecture!r}; known: {known}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    try:
        return network_from(_CONFIG_CLASSES[architecture](**values))  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"configuration of {architecture}: {error}") from error


def network_from(config: NetworkConfig) -> Network:
    """Build an untrained network."""
    if isinstance(config, LandmarkerConfig):
        return Landmarker(config)
    if isinstance(config, ClassifierConfig):
        return classifier_from(config)
    if isinstance(config, AgreementCalibrationConfig):
        return AgreementCalibration(config)
    if isinstance(config, BlazeFaceConfig):
        return BlazeFace(config)
    return upscaler_from(config)


def classifier_from(config: ClassifierConfig) -> Classifier:
    """Build an untrained network that tells expressions apart."""
    match config:
        case DDAMFNConfig():
            return DDAMFN(config)
        case MobileFaceNetConfig():
            return MobileFaceNetClassifier(config)
        case EmotionEnsembleConfig():
            members = [build_network(*member) for member in config.members]
            return EmotionEnsemble(config, [_single_classifier(member) for member in members])


def _single_classifier(network: Network) -> SingleClassifier:
    if not isinstance(network, SingleClassifier):
        raise ValueError(
            f"{type(network).__name__} cannot be in an ensemble of expression classifiers"
        )
    return network


def average_classifiers(
    members: Sequence[SingleClassifier], *, mirrored: bool = False
) -> EmotionEnsemble:
    """Make one of classifiers in eval mode, which become its parts; its temperature is 1.

    Args:
        members: At least two, or one that is to read mirrored faces besides.
        mirrored: Whether they read each face's mirror image as well.

    Raises:
        ValueError: they are too few.
    """
    config = EmotionEnsembleConfig(members=tuple(map(network_config, members)), mirrored=mirrored)
    return EmotionEnsemble(config, members).eval()


def upscaler_from(config: UpscalerConfig) -> Upscaler:
    """Build an untrained network from LR faces to HR faces."""
    match config:
        case AffectSRNetConfig():
            return AffectSRNet(config)
        case SRCNNConfig():
            return SRCNN(config)
        case EDSRConfig():
            return EDSR(config)
        case FSRNetConfig():
            return FSRNet(config)
        case DICConfig():
            return DIC(config)
        case SPARNetConfig():
            return SPARNet(config)


def network_config(network: nn.Module) -> tuple[str, dict[str, object]]:
    """Return the architecture's name and the configuration that builds this network again.

    Raises:
        ValueError: the network is of no published architecture.
    """
    if not isinstance(network, Network):
        raise ValueError(f"{type(network).__name__} is no architecture that can be published")
    return network.config.architecture, asdict(network.config)


def needs_landmarks(config: UpscalerConfig) -> bool:
    """Whether a network of this configuration is called with landmarks."""
    return isinstance(config, AffectSRNetConfig) and config.landmark_fusion
