"""Measuring all rows of a study on the same faces, and putting them where the paper has them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from model_store.architectures import Upscaler
from model_store.store import ModelStore
from training.errors import ConfigError
from training.evaluate import Evaluation, measure_with_all, with_bicubic
from training.evaluation.faces import open_face_sets
from training.evaluation.models import (
    Model,
    is_weightless,
    network_model,
    open_network,
    weightless_model,
)
from training.study.plan import Study, StudyRow


def measure_study(
    study: Study,
    *,
    packs: Path,
    runs: Path,
    store: ModelStore,
    max_faces: int | None,
    feature_weights: Path | None,
    classifier: str | None,
    notify: Callable[[str], None],
) -> Evaluation:
    """Measure every row, bicubic beside them.

    Args:
        study: Its trained rows have their runs.
        packs: Folder of face packs.
        runs: Folder of the runs.
        store: Published versions.
        max_faces: At most so many faces of each set; None takes the study's number.
        feature_weights: Folder of the LPIPS weights, if not the environment's.
        classifier: Published version that reads expressions; None takes the store's.
        notify: Is told what is being measured.

    Raises:
        TrainingError: a model or a pack cannot be used.
    """
    limit = max_faces or study.config.max_faces or None
    sets = open_face_sets(packs, study.config.tests, max_faces=limit)
    teacher = {faces.name: faces.landmarks for faces in sets}
    models = [
        model
        for row in study.rows
        for model in _open_row(row, runs=runs, store=store, teacher=teacher)
    ]
    models = with_bicubic(models)
    comparison = measure_with_all(
        models,
        sets,
        store=store,
        feature_weights=feature_weights,
        classifier=classifier,
        notify=notify,
    )
    return Evaluation(comparison, tuple(sets), tuple(models))


def _open_row(
    row: StudyRow, *, runs: Path, store: ModelStore, teacher: Mapping[str, Tensor]
) -> Sequence[Model]:
    name = str(runs / row.run_name / row.weights) if row.config is not None else row.model
    if is_weightless(name):
        return [_placed(weightless_model(name, scale=row.scale), row)]
    opened = open_network(name, store=store)
    if not isinstance(opened.network, Upscaler) or opened.network.config.scale != row.scale:
        raise ConfigError(
            f"study row {row.label!r}: {name} is no network for x{row.scale}; use {{scale}} in its "
            "config, model or set"
        )
    controls = row.landmarks if opened.landmarker is not None else ("lr",)
    return [
        _placed(network_model(row.label, opened, control=control, teacher=teacher), row)
        for control in controls
    ]


def _placed(model: Model, row: StudyRow) -> Model:
    """Give a model the study's label and places; a control has no place in the paper's tables."""
    is_control = model.description.control not in (None, "lr")
    described = replace(
        model.description,
        name=row.label,
        method=None if is_control else row.method,
        component=None if is_control else row.component,
    )
    return replace(model, description=described)
