"""One call of ``evaluate``: models, test sets and measures put together and run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from model_store.emotion.recoverability import AgreementCalibration, AgreementCalibrationConfig
from model_store.errors import ModelStoreError
from model_store.store import ModelStore
from training.config import DegradationConfig, load_config
from training.errors import TrainingError
from training.evaluation.agreement import AgreementCheck, check_comparison
from training.evaluation.comparison import Comparison, measure_models
from training.evaluation.faces import FaceSet, open_face_sets
from training.evaluation.landmark_controls import CONTROL_MEANINGS, LandmarkControl
from training.evaluation.models import (
    BICUBIC,
    Model,
    Opened,
    is_weightless,
    network_model,
    open_network,
    weightless_model,
)
from training.evaluation.open_measures import open_measures, published_classifier
from training.evaluation.readers import common_reader_kind
from training.evaluation.report.document import write_document
from training.evaluation.report.page import PageHead, write_page
from training.evaluation.report.strips import face_strips
from training.provenance import current_commit

Notify = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What the command line says of an evaluation.

    Attributes:
        models: ``NAME``, ``NAME@VERSION``, run folders, ``bicubic``, ``folder:PATH``.
        packs: Folder of face packs.
        tests: Names of the packs to measure on.
        scale: Of bicubic and of folders; None takes the scale of the networks beside them.
        controls: Which landmarks fused networks are given, one after the other.
        max_faces: At most so many faces of each pack.
        feature_weights: Folder of the LPIPS weights, if not the environment's.
        classifier: Published version that reads expressions; None takes the store's.
        against: Model from which the differences are taken; None takes the first.
        degradation: Training configuration whose `[degradation]` the test faces go through; None
            is the protocol's bicubic.
    """

    models: tuple[str, ...]
    packs: Path
    tests: tuple[str, ...]
    scale: int | None = None
    controls: tuple[LandmarkControl, ...] = ("lr",)
    max_faces: int | None = None
    feature_weights: Path | None = None
    classifier: str | None = None
    against: str | None = None
    degradation: Path | None = None


@dataclass(frozen=True)
class Evaluation:
    """What a report is made of: the numbers, the faces, what made the images, and checks.

    Readers of faces make no images; of them there are the numbers alone.

    Attributes:
        checks: Of the calibrations that are published for models here, model by model.
    """

    comparison: Comparison
    sets: tuple[FaceSet, ...]
    models: tuple[Model, ...]
    checks: tuple[AgreementCheck, ...] = ()


def evaluate(options: EvaluateOptions, *, store: ModelStore, notify: Notify) -> Evaluation:
    """Measure models beside bicubic, all on the same faces.

    Raises:
        TrainingError: a model, a pack or a weights file cannot be used; the message says why.
    """
    names = list(dict.fromkeys(options.models))
    opened = {n: open_network(n, store=store) for n in names if not is_weightless(n)}
    kind = common_reader_kind({n: o.network for n, o in opened.items()}, names)
    if kind is not None:
        _check_against(options.against, names)
        if options.degradation is not None:
            raise TrainingError("--degradation is for networks that make images, not for readers")
        comparison = kind.compare(
            opened,
            packs=options.packs,
            tests=options.tests,
            max_faces=options.max_faces,
            against=options.against,
        )
        return Evaluation(comparison, (), ())
    degradation, lr_images = _degradation_of(options)
    sets = open_face_sets(
        options.packs, options.tests, max_faces=options.max_faces, degradation=degradation
    )
    models = _open_models(names, opened, options, sets)
    _check_against(options.against, [model.description.title for model in models])
    comparison = measure_with_all(
        models,
        sets,
        store=store,
        feature_weights=options.feature_weights,
        classifier=options.classifier,
        against=options.against,
        notify=notify,
    )
    if lr_images is not None:
        comparison = replace(comparison, lr_images=lr_images)
    checks = check_calibrations(comparison, store=store, classifier=options.classifier)
    return Evaluation(comparison, tuple(sets), tuple(models), tuple(checks))


def write_reports(
    evaluation: Evaluation, *, title: str, json_path: Path | None, html_path: Path | None
) -> None:
    """Write an evaluation as JSON and as a page, where a path is given.

    Raises:
        TrainingError: a file cannot be written.
    """
    comparison = evaluation.comparison
    try:
        for path in (json_path, html_path):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
        if json_path is not None:
            write_document(json_path, comparison)
        if html_path is not None:
            made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
            head = PageHead(title, made, current_commit())
            strips = face_strips(comparison, sets=evaluation.sets, models=evaluation.models)
            checks = evaluation.checks
            write_page(html_path, comparison, head=head, strips=strips, checks=checks)
    except OSError as error:
        raise TrainingError(f"cannot write the report ({error}); name another file") from error


def evaluate_networks(
    networks: Mapping[str, Opened],
    *,
    packs: Path,
    tests: Sequence[str],
    store: ModelStore,
    feature_weights: Path | None,
    classifier: str | None = None,
) -> Comparison:
    """Measure networks of one kind that are in memory; upscaling ones beside bicubic.

    Raises:
        TrainingError: one of them learnt from a set, or a weights file cannot be used.
    """
    kind = common_reader_kind({n: o.network for n, o in networks.items()}, networks)
    if kind is not None:
        return kind.compare(networks, packs=packs, tests=tests)
    sets = open_face_sets(packs, tests)
    models = with_bicubic([network_model(name, opened) for name, opened in networks.items()])
    return measure_with_all(
        models, sets, store=store, feature_weights=feature_weights, classifier=classifier
    )


def measure_with_all(
    models: Sequence[Model],
    sets: Sequence[FaceSet],
    *,
    store: ModelStore,
    feature_weights: Path | None,
    classifier: str | None = None,
    against: str | None = None,
    notify: Notify = lambda line: None,
) -> Comparison:
    """Measure models with every measure that can be taken here.

    Raises:
        TrainingError: a model learnt from a set, or a file cannot be used.
    """
    opened = open_measures(store=store, feature_weights=feature_weights, classifier=classifier)
    with opened as (measures, notes):
        return measure_models(
            models,
            sets,
            measures=measures,
            against=against,
            notes=[*notes, *control_notes(models)],
            notify=notify,
        )


def check_calibrations(
    comparison: Comparison, *, store: ModelStore, classifier: str | None
) -> list[AgreementCheck]:
    """Check each published calibration on the models that it was fitted for.

    Args:
        comparison: Of published versions, by their references; others have no calibration.
        store: Where calibrations are published.
        classifier: Who read the expressions; None is the store's.
    """
    reader = classifier or published_classifier(store)
    if reader is None:
        return []
    checks: list[AgreementCheck] = []
    for name in store.names_of(AgreementCalibrationConfig.architecture):
        calibration = store.load(name).module
        assert isinstance(calibration, AgreementCalibration)
        config = calibration.config
        for result in comparison.at_scale(config.scale):
            digests = [_digest_of(n, store) for n in (result.description.name, reader)]
            if digests == [config.upscaler_sha256, config.classifier_sha256]:
                checks += check_comparison(comparison, result, calibration)
    return checks


def _degradation_of(options: EvaluateOptions) -> tuple[DegradationConfig, str | None]:
    """How LR images are made, and how a report calls that where it is not the protocol's way."""
    if options.degradation is None:
        return DegradationConfig(), None
    degradation = load_config(options.degradation).degradation
    if degradation.is_plain:
        return degradation, None
    return degradation, f"degraded as {options.degradation.name} says"


def _digest_of(name: str, store: ModelStore) -> str:
    """Of a version's weights; empty for what is not published."""
    try:
        return store.resolve(name).weights_sha256
    except ModelStoreError:
        return ""


def control_notes(models: Sequence[Model]) -> list[str]:
    """What the landmark controls among the models mean; leakage is named as such."""
    controls = dict.fromkeys(m.description.control for m in models if m.description.control)
    if set(controls) <= {"lr"}:
        return []
    return [f"Landmarks {c!r}: {CONTROL_MEANINGS[c]}." for c in controls]


def with_bicubic(models: Sequence[Model]) -> list[Model]:
    """Put bicubic before the models of each scale."""
    others = [model for model in models if model.description.name != BICUBIC]
    scales = sorted({model.scale for model in models})
    return [
        model
        for scale in scales
        for model in (
            weightless_model(BICUBIC, scale=scale),
            *(m for m in others if m.scale == scale),
        )
    ]


def _check_against(against: str | None, titles: Sequence[str]) -> None:
    if against is not None and against not in titles:
        raise TrainingError(
            f"--against {against} is none of the models; they are {', '.join(titles)}"
        )


def _open_models(
    names: Sequence[str],
    opened: dict[str, Opened],
    options: EvaluateOptions,
    sets: Sequence[FaceSet],
) -> list[Model]:
    teacher = {faces.name: faces.landmarks for faces in sets}
    models: list[Model] = []
    for name, network in opened.items():
        controls = options.controls if network.landmarker is not None else ("lr",)
        models += [network_model(name, network, control=c, teacher=teacher) for c in controls]
    scales = {model.scale for model in models}
    for name in names:
        if is_weightless(name) and (name != BICUBIC or not models):
            models.append(weightless_model(name, scale=_scale_of(name, options.scale, scales)))
    order = {name: place for place, name in enumerate(names)}
    return with_bicubic(sorted(models, key=lambda model: order[model.description.name]))


def _scale_of(name: str, named: int | None, scales: set[int]) -> int:
    if named is not None:
        return named
    if len(scales) == 1:
        return next(iter(scales))
    beside = " and ".join(f"x{scale}" for scale in sorted(scales)) or "none"
    raise TrainingError(
        f"{name} has no scale of its own, and those of the networks beside it are: {beside}; say "
        "--scale 4 or --scale 8"
    )
