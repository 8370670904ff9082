"""Every measure that can be taken here, and what is said of those that cannot."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from model_store.emotion.classifier import EmotionClassifier
from model_store.emotion.reader import EmotionReader
from model_store.errors import ModelStoreError
from model_store.landmarks.mediapipe_mesh import MediaPipeMesh
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
CLASSIFIERS = ("emotion-ddamfn", "emotion-mobilefacenet")
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
        expression = _open_expression(store, classifier)
        if isinstance(expression, str):
            notes.append(f"ECM, agreement and |dH| were not measured: {expression}.")
        else:
            measures.append(expression)
        yield measures, notes


def _open_expression(store: ModelStore, named: str | None) -> ExpressionConsistency | str:
    """Return the measure, or why there is none; a named classifier that fails is an error."""
    published = (name for name in CLASSIFIERS if store.versions(name))
    reference = named or next(published, None)
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
    manifest = loaded.manifest
    return ExpressionConsistency(
        reader, classifier=f"{manifest.reference} ({manifest.weights_sha256[:12]})"
    )
