"""One call of ``report``: a study trained where it is not, measured, and written down."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model_store.store import ModelStore
from training.evaluate import write_reports
from training.evaluation.report.controls import controls_text
from training.evaluation.report.expressions import expressions_text
from training.evaluation.report.paper_text import paper_tables_text
from training.processes import DeviceChoice
from training.study.measure import measure_study
from training.study.plan import load_study
from training.study.runs import check_runs, train_missing


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What the command line says of a report.

    Attributes:
        study: TOML file.
        packs: Folder of face packs.
        runs: Folder of run folders.
        out: Folder of report.json and report.html; None is a folder of the study's name in runs.
        is_training: Train what is missing first.
        max_faces: At most so many faces of each test pack; None takes the study's number.
        feature_weights: Folder of the feature networks' weights, if not the environment's.
        classifier: Published version that reads expressions; None takes the store's.
        device: To train on.
    """

    study: Path
    packs: Path
    runs: Path
    out: Path | None
    is_training: bool
    max_faces: int | None
    feature_weights: Path | None
    device: DeviceChoice
    classifier: str | None = None


def report_study(
    options: ReportOptions, *, store: ModelStore, notify: Callable[[str], None]
) -> str:
    """Return the tables of a study as text, and write them with everything else to its folder.

    Raises:
        TrainingError: the study, a run, a model or a pack cannot be used; the message says why.
    """
    study = load_study(options.study)
    started = time.monotonic()
    if options.is_training:
        train_missing(
            study,
            packs=options.packs,
            runs=options.runs,
            store=store,
            device=options.device,
            feature_weights=options.feature_weights,
            notify=notify,
        )
    check_runs(study.rows, runs=options.runs)
    trained = time.monotonic()
    evaluation = measure_study(
        study,
        packs=options.packs,
        runs=options.runs,
        store=store,
        max_faces=options.max_faces,
        feature_weights=options.feature_weights,
        classifier=options.classifier,
        notify=notify,
    )
    out = options.out or options.runs / study.name
    page = out / "report.html"
    write_reports(
        evaluation, title=study.config.title, json_path=out / "report.json", html_path=page
    )
    minutes = (trained - started) / 60, (time.monotonic() - trained) / 60
    comparison = evaluation.comparison
    parts = [
        study.config.title,
        paper_tables_text(comparison),
        controls_text(comparison),
        expressions_text(comparison),
        "\n".join(f"Note: {note}" for note in comparison.notes),
        f"{minutes[0]:.1f} minutes of training, {minutes[1]:.1f} of measuring. Intervals, "
        f"all other measures, and faces: {page}",
    ]
    return "\n\n".join(part for part in parts if part)
