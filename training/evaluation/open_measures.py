"""Every measure that can be taken here, and what is said of those that cannot."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from model_store.emotion.classifier import EmotionClassifier
from model_store.emotion.reader import EmotionReader
from model_store.errors import ModelStoreError
from model_store.landmarks.mediapipe_mesh import MediaPipeMesh
from model_store.manifest import ModelManifest
from model_store.store import ModelStore
from training.errors import TrainingError
from training.evaluation.measures.expression import ExpressionConsistency
from training.evaluation.measures.image_quality import ImageQuality
from training.evaluation.measures.landmark_distance import (
    LandmarkDistance,
    LandmarkerFinder,
    TeacherFinder,
)
from training.evaluation.measures.measure import FaceMeasure
from training.evaluation.measures.perceptual import PerceptualDistance
from training.perceptual.lpips import load_squeeze_lpips
from training.perceptual.weight_files import FEATURE_WEIGHTS_VARIABLE, feature_weights_folder
from training.quality import PROTOCOLS
from training.tasks.build import load_landmarker

_LANDMARKER = "landmarker"
CLASSIFIERS = ("emotion-mobilefacenet", "emotion-ddamfn")
"""Who reads expressions where nobody is named: the first of these that is published."""


@contextmanager
def open_measures(
    *, store: ModelStore, feature_weights: Path | None, classifier: str | None = None
) -> Iterator[tuple[list[FaceMeasure], list[str]]]:
    """Open every measure that can be taken here; a note says of each that cannot, and why.

    Args:
        store: Published versions.
        feature_weights: Folder of the LPIPS weights, if not the environment's.
        classifier: Reference of the expression classifier; None takes a published one.

    Raises:
        FeatureWeightsError: a folder of weights is named but does not hold the published ones.
        TrainingError: a classifier is named that cannot be used.
    """
    measures: list[FaceMeasure] = [ImageQuality(protocol) for protocol in PROTOCOLS]
    notes = []
    with ExitStack() as stack:
        if feature_weights is None and not os.environ.get(FEATURE_WEIGHTS_VARIABLE):
            notes.append(
                "LPIPS was not measured: no folder of feature weights was named, neither by "
                f"--feature-weights nor in {FEATURE_WEIGHTS_VARIABLE}."
            )
        else:
            lpips = load_squeeze_lpips(feature_weights_folder(feature_weights))
            measures.append(PerceptualDistance(lpips))
        try:
            mesh = stack.enter_context(MediaPipeMesh())
        except ImportError:
            notes.append(
                "Landmark distance by MediaPipe was not measured: mediapipe is not installed."
            )
        else:
            measures.append(LandmarkDistance(TeacherFinder(mesh)))
        if store.versions(_LANDMARKER):
            finder = LandmarkerFinder(load_landmarker(_LANDMARKER, store))
            measures.append(LandmarkDistance(finder))
        else:
            notes.append("Landmark distance by the Landmarker was not measured: none is published.")
        opened = open_expression_reader(store, classifier)
        if isinstance(opened, str):
            notes.append(f"ECM, agreement and |dH| were not measured: {opened}.")
        else:
            measures.append(opened.measure())
        yield measures, notes


@dataclass(frozen=True)
class OpenedReader:
    """A published classifier that reads expressions, with the landmarker that aligns for it."""

    reader: EmotionReader
    classifier: ModelManifest

    def measure(self) -> ExpressionConsistency:
        """The measure that names the classifier and its digest."""
        digest = self.classifier.weights_sha256[:12]
        return ExpressionConsistency(
            self.reader, classifier=f"{self.classifier.reference} ({digest})"
        )


def published_classifier(store: ModelStore) -> str | None:
    """Name of the classifier that reads expressions where nobody is named."""
    return next((name for name in CLASSIFIERS if store.versions(name)), None)


def open_expression_reader(store: ModelStore, named: str | None) -> OpenedReader | str:
    """Open the named classifier or the store's; return why there is none where nobody is named.

    Raises:
        TrainingError: the named one, or what is published, cannot be used.
    """
    reference = named or published_classifier(store)
    if reference is None:
        return "no expression classifier is published; train one, or name it with --classifier"
    if not store.versions(_LANDMARKER):
        if named is not None:
            raise TrainingError(
                f"--classifier {named} needs a landmarker to align its crops; none is published"
            )
        return "no landmarker is published, which aligns the classifier's crops"
    try:
        loaded = store.load(reference)
    except ModelStoreError as error:
        raise TrainingError(f"--classifier {reference}: {error}") from error
    if not isinstance(loaded.module, EmotionClassifier):
        raise TrainingError(
            f"--classifier {reference} is a {loaded.manifest.architecture}, which reads no "
            "expressions"
        )
    reader = EmotionReader(load_landmarker(_LANDMARKER, store), loaded.module)
    return OpenedReader(reader, loaded.manifest)
