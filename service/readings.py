"""What was read in an image, and by which classifier, as replies show it."""

from typing import Literal

from model_store.emotion.classifier import EMOTIONS
from model_store.emotion.ecm import entropy
from service.engine.base import EmotionReading, ServedVersion
from service.engine.readout import ExpressionReadout
from service.schemas import ClassifierVersion, Expression, ImageReading


def describe_readout(readout: ExpressionReadout) -> Expression:
    """The expression of a result beside that of its input."""
    return Expression(
        classifier=describe_classifier(readout.classifier),
        result=describe_reading(readout.result),
        input=describe_reading(readout.input),
        agrees=readout.agrees,
        recoverable_probability=readout.kept_probability,
        recoverable=readout.is_recoverable,
    )


def describe_reading(reading: EmotionReading) -> ImageReading:
    return ImageReading(
        expression=EMOTIONS[reading.top_class],
        probabilities=dict(zip(EMOTIONS, reading.probabilities.tolist(), strict=True)),
        entropy=float(entropy(reading.probabilities)),
        landmarks=_landmark_source(reading),
        landmark_confidence=reading.landmark_confidence,
    )


def describe_classifier(classifier: ServedVersion) -> ClassifierVersion:
    return ClassifierVersion(
        name=classifier.name,
        version=classifier.version,
        sha256=classifier.weights_sha256,
    )


def _landmark_source(reading: EmotionReading) -> Literal["landmarker", "fallback"]:
    """Who found the landmarks that the image was aligned by."""
    return "fallback" if reading.is_fallback else "landmarker"
