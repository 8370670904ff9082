"""What the engine reads expressions with, as the store and the settings have it."""

import logging
from collections.abc import Mapping, Sequence

import torch

from model_store.architectures import Classifier
from model_store.emotion.recoverability import AgreementCalibration, AgreementCalibrationConfig
from model_store.errors import ModelNotFoundError
from model_store.landmarks.landmarker import Landmarker
from model_store.store import LoadedModel, ModelStore
from service.engine.base import ServedModel, ServedVersion
from service.engine.device_faults import DeviceGuard
from service.engine.expression_reader import ExpressionReader
from service.errors import DeviceMemoryError, StartupError
from service.settings import Settings

logger = logging.getLogger(__name__)


def load_named(
    store: ModelStore, reference: str, device: torch.device, *, variable: str
) -> LoadedModel:
    """Load a version that a setting names.

    Raises:
        ModelStoreError: it is half-written or not what was published.
        StartupError: it is not there, and the message names the variable; or it does not fit the
            device's memory.
    """
    try:
        return DeviceGuard(device).call(lambda: store.load(reference, device=device))
    except DeviceMemoryError as error:
        raise StartupError(
            f"{reference} does not fit the memory of {device} beside what is there already; give "
            "it more memory, or name fewer models in AFFECTSR_MODELS"
        ) from error
    except ModelNotFoundError as error:
        raise StartupError(
            f"{variable} names {reference}, and {error}; name a published one, or set "
            "AFFECTSR_MODEL_ROOT to the folder that holds it"
        ) from error


def load_expression_reader(
    store: ModelStore, landmarker: Landmarker, settings: Settings, device: torch.device
) -> ExpressionReader | None:
    """Load the classifier that the settings name; None where they name none.

    Raises:
        ModelStoreError: it is half-written or not what was published.
        StartupError: it is not there, or is no classifier.
    """
    reference = settings.emotion_model
    if not reference:
        return None
    loaded = load_named(store, reference, device, variable="AFFECTSR_EMOTION_MODEL")
    manifest = loaded.manifest
    if not isinstance(loaded.module, Classifier):
        raise StartupError(
            f"AFFECTSR_EMOTION_MODEL names {reference}, whose architecture is "
            f"{manifest.architecture}; name an expression classifier, such as "
            "emotion-mobilefacenet, or nothing to do without"
        )
    return ExpressionReader(
        ServedVersion(
            name=manifest.name,
            version=manifest.version,
            num_parameters=manifest.num_parameters,
            weights_sha256=manifest.weights_sha256,
            licence=manifest.licence,
            metrics=manifest.metrics,
        ),
        loaded.module,
        landmarker,
        min_confidence=settings.min_landmark_confidence,
        device=device,
    )


def load_calibrations(
    store: ModelStore, models: Sequence[ServedModel], classifier: ServedVersion
) -> Mapping[str, AgreementCalibration]:
    """Load what was fitted for these very networks, by the references of the upscalers.

    A calibration of other weights says nothing of these; a model without one is told in the log.

    Raises:
        ModelStoreError: a calibration is half-written or not what was published.
    """
    references = {model.weights_sha256: model.reference for model in models}
    found: dict[str, AgreementCalibration] = {}
    for name in store.names():
        if store.resolve(name).architecture != AgreementCalibrationConfig.architecture:
            continue
        module = store.load(name).module
        if (
            isinstance(module, AgreementCalibration)
            and module.config.upscaler_sha256 in references
            and module.config.classifier_sha256 == classifier.weights_sha256
        ):
            found[references[module.config.upscaler_sha256]] = module
    for reference in references.values():
        if reference not in found:
            logger.info(
                "no calibration fits %s with %s; no reply says if an expression is recoverable",
                reference,
                classifier.reference,
            )
    return found
