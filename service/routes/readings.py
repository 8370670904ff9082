"""What was read in an image, and by which classifier, as replies show it."""

from typing import Literal

from model_store.emotion.classifier import EMOTIONS
from model_store.emotion.ecm import entropy
from service.engine.base import EmotionReading, ServedVersion
from service.schemas import ClassifierVersion, ImageReading


def top_expression(reading: EmotionReading) -> str:
    """Name of the likeliest expression."""
    return EMOTIONS[reading.top_class]


def landmark_source(reading: EmotionReading) -> Literal["landmarker", "fallback"]:
    """Who found the landmarks that the image was aligned by."""
    return "fallback" if reading.is_fallback else "landmarker"


def describe_reading(reading: EmotionReading) -> ImageReading:
    return ImageReading(
        expression=top_expression(reading),
        probabilities=dict(zip(EMOTIONS, reading.probabilities.tolist(), strict=True)),
        entropy=float(entropy(reading.probabilities)),
        landmarks=landmark_source(reading),
        landmark_confidence=reading.landmark_confidence,
    )


def describe_classifier(classifier: ServedVersion) -> ClassifierVersion:
    return ClassifierVersion(
        name=classifier.name,
        version=classifier.version,
        sha256=classifier.weights_sha256,
    )
