"""The models that the settings name, loaded and verified; engines are made of them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from model_store.architectures import Classifier, Upscaler
from model_store.emotion.recoverability import AgreementCalibration, AgreementCalibrationConfig
from model_store.errors import ModelNotFoundError
from model_store.faces.blazeface import BlazeFace
from model_store.landmarks.landmarker import Landmarker
from model_store.manifest import ModelManifest
from model_store.store import LoadedModel, ModelStore
from service.engine.base import ServedModel, ServedVersion
from service.engine.device_faults import DeviceGuard
from service.errors import DeviceMemoryError, EngineUnavailableError, StartupError
from service.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModels:
    """Networks in float32 and eval mode on one device, with what is told of them.

    Attributes:
        upscalers: in the order of the settings, at least one.
        landmarker: also holds the mean face.
        landmarker_sha256: digest of its weights.
        classifier: None where the settings name none.
        calibrations: see `Engine.calibrations`.
        detector: None where the settings name none.
    """

    upscalers: Sequence[tuple[ServedModel, Upscaler]]
    landmarker: Landmarker
    landmarker_sha256: str
    classifier: tuple[ServedVersion, Classifier] | None
    calibrations: Mapping[str, AgreementCalibration]
    detector: tuple[ServedVersion, BlazeFace] | None = None


def load_models(store: ModelStore, settings: Settings, device: torch.device) -> LoadedModels:
    """Load and verify every model that the settings name.

    Raises:
        ModelStoreError: a model is half-written or not what was published.
        EngineUnavailableError: a model does not fit the device's memory.
        StartupError: a model is not there, or is of another kind.
    """
    upscalers = [_load_upscaler(store, reference, device) for reference in settings.models]
    landmarker = _load_named(store, settings.landmarker_model, device, field="LANDMARKER_MODEL")
    if not isinstance(landmarker.module, Landmarker):
        raise StartupError(
            f"AFFECTSR_LANDMARKER_MODEL names {settings.landmarker_model}, whose architecture is "
            f"{landmarker.manifest.architecture}; name a landmarker"
        )
    classifier = _load_classifier(store, settings.emotion_model, device)
    calibrations: Mapping[str, AgreementCalibration] = {}
    if classifier is not None:
        calibrations = _load_calibrations(store, [model for model, _ in upscalers], classifier[0])
    return LoadedModels(
        upscalers=upscalers,
        landmarker=landmarker.module,
        landmarker_sha256=landmarker.manifest.weights_sha256,
        classifier=classifier,
        calibrations=calibrations,
        detector=_load_detector(store, settings.face_detector_model, device),
    )


def _load_named(
    store: ModelStore, reference: str, device: torch.device, *, field: str
) -> LoadedModel:
    try:
        return DeviceGuard(device).call(lambda: store.load(reference, device=device))
    except DeviceMemoryError as error:
        raise EngineUnavailableError(
            f"{reference} does not fit the memory of {device} beside what is there already; give "
            "it more memory, or name fewer models in AFFECTSR_MODELS"
        ) from error
    except ModelNotFoundError as error:
        raise StartupError(
            f"AFFECTSR_{field} names {reference}, and {error}; name a published one, or set "
            "AFFECTSR_MODEL_ROOT to the folder that holds it"
        ) from error


def _load_upscaler(
    store: ModelStore, reference: str, device: torch.device
) -> tuple[ServedModel, Upscaler]:
    loaded = _load_named(store, reference, device, field="MODELS")
    if not isinstance(loaded.module, Upscaler):
        raise StartupError(
            f"AFFECTSR_MODELS names {reference}, whose architecture is "
            f"{loaded.manifest.architecture}; name models that upscale, such as affectsrnet-x4"
        )
    return _served(loaded.manifest, loaded.module), loaded.module


def _served(manifest: ModelManifest, network: Upscaler) -> ServedModel:
    return ServedModel(
        name=manifest.name,
        version=manifest.version,
        scale=network.config.scale,
        lr_size_px=network.config.lr_size_px,
        num_parameters=manifest.num_parameters,
        weights_sha256=manifest.weights_sha256,
        licence=manifest.licence,
        metrics=manifest.metrics,
    )


def _load_classifier(
    store: ModelStore, reference: str, device: torch.device
) -> tuple[ServedVersion, Classifier] | None:
    if not reference:
        return None
    loaded = _load_named(store, reference, device, field="EMOTION_MODEL")
    manifest = loaded.manifest
    if not isinstance(loaded.module, Classifier):
        raise StartupError(
            f"AFFECTSR_EMOTION_MODEL names {reference}, whose architecture is "
            f"{manifest.architecture}; name an expression classifier, such as "
            "emotion-mobilefacenet, or nothing to do without"
        )
    return _served_version(manifest), loaded.module


def _load_detector(
    store: ModelStore, reference: str, device: torch.device
) -> tuple[ServedVersion, BlazeFace] | None:
    if not reference:
        return None
    loaded = _load_named(store, reference, device, field="FACE_DETECTOR_MODEL")
    if not isinstance(loaded.module, BlazeFace):
        raise StartupError(
            f"AFFECTSR_FACE_DETECTOR_MODEL names {reference}, whose architecture is "
            f"{loaded.manifest.architecture}; name a face detector, or nothing to do without"
        )
    return _served_version(loaded.manifest), loaded.module


def _served_version(manifest: ModelManifest) -> ServedVersion:
    return ServedVersion(
        name=manifest.name,
        version=manifest.version,
        num_parameters=manifest.num_parameters,
        weights_sha256=manifest.weights_sha256,
        licence=manifest.licence,
        metrics=manifest.metrics,
    )


def _load_calibrations(
    store: ModelStore, models: Sequence[ServedModel], classifier: ServedVersion
) -> Mapping[str, AgreementCalibration]:
    """Load what was fitted for these very networks, by the references of the upscalers.

    A calibration of other weights says nothing of these; a model without one is told in the log.
    """
    references = {model.weights_sha256: model.reference for model in models}
    found: dict[str, AgreementCalibration] = {}
    for name in store.names_of(AgreementCalibrationConfig.architecture):
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
