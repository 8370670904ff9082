"""One call of ``calibrate-agreement``: fit on some faces, check on others, publish."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model_store.architectures import Upscaler
from model_store.emotion.recoverability import AgreementCalibration, AgreementCalibrationConfig
from model_store.errors import ModelStoreError
from model_store.manifest import ModelManifest, TrainingRecord
from model_store.store import ModelStore
from training.agreement.faces import open_fit_faces, open_test_faces
from training.agreement.fit import fit_agreement
from training.config import DegradationConfig, parse_section
from training.errors import PublishRefusedError, TrainingError
from training.evaluate import Notify, with_bicubic
from training.evaluation.agreement import (
    AgreementCheck,
    AgreementReadouts,
    agreement_readouts,
    check_comparison,
)
from training.evaluation.comparison import Comparison, measure_models
from training.evaluation.faces import FaceSet
from training.evaluation.models import Model, network_model, open_network
from training.evaluation.open_measures import OpenedReader, open_expression_reader
from training.provenance import current_commit
from training.publish.run import RESEARCH_ONLY_LICENCE

_OURS = "affectsrnet-"
# Of faces that nothing was fitted on; above it "80 %" would not mean it.
_MAX_CALIBRATION_ERROR = 0.1


@dataclass(frozen=True, kw_only=True)
class AgreementOptions:
    """What the command line says of a calibration.

    Attributes:
        upscaler: Reference of a published version.
        packs: Folder of the packs.
        fit: Packs to fit on: their validation slices, which neither network learnt from.
        tests: Packs to check on: all faces of a face pack, the test slice of an expression pack;
            nothing was fitted on them.
        classifier: Published version that reads expressions; None takes the store's.
        name: Of the calibration; None is the network's, "agreement" for "affectsrnet".
        allow_worse: Why it is published although the check objects; None publishes nothing then.
    """

    upscaler: str
    packs: Path
    fit: tuple[str, ...]
    tests: tuple[str, ...]
    classifier: str | None = None
    name: str | None = None
    allow_worse: str | None = None


def calibrate_agreement(
    options: AgreementOptions,
    *,
    store: ModelStore,
    target: ModelStore,
    notify: Notify,
    show: Callable[[Sequence[AgreementCheck]], None] = lambda checks: None,
) -> ModelManifest:
    """Fit how likely a result shows its original's expression, check it, and publish it.

    LR images are made as those were that the network learnt from: for real photographs degraded.

    Args:
        options: What to fit.
        store: Where upscaler and classifier are.
        target: Where the calibration goes.
        notify: Is told what is being read.
        show: Is given the check before it decides.

    Raises:
        PublishRefusedError: on the test faces it is worse than always saying the share that is
            kept, or its calibration error is above 0.1, and nobody allowed it.
        TrainingError: a network or a pack cannot be used; the message says why.
    """
    upscaler, model = _open_upscaler(options.upscaler, store)
    opened = open_expression_reader(store, options.classifier)
    if isinstance(opened, str):
        raise TrainingError(f"nobody can read expressions: {opened}")
    calibration = AgreementCalibration(
        AgreementCalibrationConfig(
            scale=model.scale,
            upscaler=upscaler.reference,
            upscaler_sha256=upscaler.weights_sha256,
            classifier=opened.classifier.reference,
            classifier_sha256=opened.classifier.weights_sha256,
        )
    )
    degradation = _degradation_of(upscaler)
    fit_sets = [
        replace(open_fit_faces(options.packs / name), degradation=degradation)
        for name in options.fit
    ]
    fitted_on = _read(model, fit_sets, opened, notify)
    readouts = _all_readouts(fitted_on, model)
    fit_agreement(calibration, readouts)
    test_sets = [
        replace(open_test_faces(options.packs / name), degradation=degradation)
        for name in options.tests
    ]
    tested_on = _read(model, test_sets, opened, notify)
    result = tested_on.find(model.description.title, scale=model.scale)
    assert result is not None  # just measured
    checks = check_comparison(tested_on, result, calibration)
    show(checks)
    objections = _objections(checks[0])
    if objections and not options.allow_worse:
        raise PublishRefusedError(
            f"the calibration is not published: {'; '.join(objections)}. Fit on more faces that "
            'are like the test faces, or say why it is to be published: --allow-worse "REASON"'
        )
    return target.publish(
        calibration,
        name=options.name or _name_for(upscaler.name),
        metrics=_metrics(checks),
        training=_record(fit_sets, readouts),
        licence=RESEARCH_ONLY_LICENCE,
        git_commit=current_commit(),
        allowed_worse=(options.allow_worse or "") if objections else "",
    )


def _open_upscaler(reference: str, store: ModelStore) -> tuple[ModelManifest, Model]:
    try:
        manifest = store.resolve(reference)
    except ModelStoreError as error:
        raise TrainingError(
            f"{error}; a calibration belongs to a published version: publish the run first"
        ) from error
    opened = open_network(manifest.reference, store=store)
    if not isinstance(opened.network, Upscaler):
        raise TrainingError(f"{reference} makes no images; name a network that upscales")
    return manifest, network_model(manifest.reference, opened)


def _name_for(upscaler: str) -> str:
    """Of affectsrnet-x8-psnr it is agreement-x8-psnr, of others agreement-NAME."""
    return f"agreement-{upscaler.removeprefix(_OURS)}"


def _degradation_of(upscaler: ModelManifest) -> DegradationConfig:
    """What the network's LR images went through in training; the paper's for one that had none."""
    document = upscaler.training.config.get("degradation", {})
    if not isinstance(document, Mapping):
        raise TrainingError(f"the manifest of {upscaler.reference} has a degradation of no keys")
    return parse_section(DegradationConfig, document, where="degradation")


def _read(
    model: Model, sets: Sequence[FaceSet], opened: OpenedReader, notify: Notify
) -> Comparison:
    return measure_models(with_bicubic([model]), sets, measures=[opened.measure()], notify=notify)


def _all_readouts(comparison: Comparison, model: Model) -> AgreementReadouts:
    result = comparison.find(model.description.title, scale=model.scale)
    assert result is not None  # just measured
    return agreement_readouts(comparison, result, list(comparison.num_faces))


def _objections(check: AgreementCheck) -> list[str]:
    found = check.reliability
    objections = []
    if not found.brier.mean < found.base_brier:
        objections.append(
            f"its Brier score is {found.brier.mean:.4f}; always saying the share that is kept has "
            f"{found.base_brier:.4f}"
        )
    if found.calibration_error > _MAX_CALIBRATION_ERROR:
        objections.append(
            f"its calibration error is {found.calibration_error:.3f}; at most "
            f"{_MAX_CALIBRATION_ERROR} is published"
        )
    return objections


def _metrics(checks: Sequence[AgreementCheck]) -> dict[str, float]:
    flat: dict[str, float] = {}
    for check in checks:
        name = "all" if check is checks[0] else check.faces
        found = check.reliability
        flat |= {
            f"{name}/faces": float(found.share.n),
            f"{name}/kept": found.share.mean,
            f"{name}/calibration_error": found.calibration_error,
            f"{name}/brier": found.brier.mean,
            f"{name}/base_brier": found.base_brier,
            f"{name}/recoverable": check.share_recoverable,
        }
        if check.recoverable_kept is not None:
            flat[f"{name}/recoverable_kept"] = check.recoverable_kept.mean
    return {key: round(value, 5) for key, value in flat.items()}


def _record(sets: Sequence[FaceSet], readouts: AgreementReadouts) -> TrainingRecord:
    return TrainingRecord(
        start="nothing",
        data={faces.name: len(faces) for faces in sets},
        data_digests={faces.name: faces.digest for faces in sets},
        steps=0,
        images_seen=len(readouts.original),
        config={"kept_share": round(float(np.mean(readouts.is_kept)), 5)},
    )
