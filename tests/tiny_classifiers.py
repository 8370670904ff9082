"""A small configuration of every expression classifier, so that each runs in milliseconds."""

from model_store.architectures import (
    Classifier,
    SingleClassifierConfig,
    classifier_from,
)
from model_store.emotion.mixed_feature_net import DDAMFNConfig
from model_store.emotion.mobilefacenet import MobileFaceNetConfig

TINY_CLASSIFIERS: tuple[SingleClassifierConfig, ...] = (
    MobileFaceNetConfig(stem_width=4, widths=(4, 6, 6), blocks=(1, 2, 1), num_features=10),
    DDAMFNConfig(
        stem_width=4, widths=(4, 6, 12), expansions=(2, 4, 8), blocks=(2, 3, 2), num_features=10
    ),
)


def tiny_classifier(architecture: str) -> Classifier:
    """Build one of them in eval mode."""
    by_name = {config.architecture: config for config in TINY_CLASSIFIERS}
    return classifier_from(by_name[architecture]).eval()
