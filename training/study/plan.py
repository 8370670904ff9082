"""What a study is: rows of models, the scales and test sets that all of them are measured at.

Read from TOML as training configurations are: an unknown key is an error. ``{scale}`` in a row's
texts stands for the scale, so that one row describes a model at every scale.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training.checkpoint import BEST_NAME, LAST_NAME
from training.config import parse_section
from training.errors import ConfigError
from training.evaluation.landmark_controls import LandmarkControl
from training.evaluation.models import BICUBIC
from training.evaluation.paper import ABLATION_SCALE, TABLE_NAMES, Component, Method

ROW_PREFIX = "row:"


@dataclass(frozen=True, kw_only=True)
class RowConfig:
    """One model of a study, at one scale or several.

    Attributes:
        label: How tables name it.
        scales: Where it takes part; empty for all of the study's.
        method: The paper's column in Tables I and II that it stands in.
        component: The paper's row of Table III that it stands in (at x8).
        config: Training configuration, relative to the study's file.
        model: Instead of a configuration: a published version, or ``folder:PATH``.
        set: Overrides of the configuration, after the study's own.
        max_minutes: Longest training; 0 takes the study's.
        init: What it starts from: ``NAME@VERSION``, a weights file, or ``row:LABEL``, the best of
            an earlier row at the same scale (fine-tuning).
        landmarks: Which landmarks it is given when it is measured; others than "lr" are controls.
    """

    label: str
    scales: tuple[int, ...] = ()
    method: Method | None = None
    component: Component | None = None
    config: str = ""
    model: str = ""
    set: tuple[str, ...] = ()
    max_minutes: float = 0.0
    init: str = ""
    landmarks: tuple[LandmarkControl, ...] = ("lr",)


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """A whole study.

    Attributes:
        title: Of the report.
        tests: Packs that all models are measured on.
        rows: The models, in the tables' order.
        scales: 4, 8 or both.
        max_faces: At most so many faces of each test pack; 0 takes all.
        max_minutes: Longest training of each row; 0 sets no limit.
        weights: Which weight average of a run is measured: the "best" by its validation, or the
            "last", for a study of what steps do where the start is hard to better.
        set: Overrides of every row's configuration.
    """

    title: str
    tests: tuple[str, ...]
    rows: tuple[RowConfig, ...]
    scales: tuple[int, ...] = (4, 8)
    max_faces: int = 0
    max_minutes: float = 0.0
    weights: Literal["best", "last"] = "best"
    set: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """A row at one scale, its placeholders filled in.

    Attributes:
        run_name: Name of its run's folder.
        weights: File of the run that is measured.
        config: None for a model that is not trained by the study.
        init: A version, a file, or the run folder of an earlier row with ``is_init_row``.
        max_minutes: None sets no limit.
    """

    label: str
    scale: int
    run_name: str
    weights: str
    method: Method | None
    component: Component | None
    config: Path | None
    model: str
    overrides: tuple[str, ...]
    max_minutes: float | None
    init: str | None
    is_init_row: bool
    landmarks: tuple[LandmarkControl, ...]


@dataclass(frozen=True)
class Study:
    """A study with its rows laid out scale by scale."""

    name: str
    config: StudyConfig
    rows: tuple[StudyRow, ...]


def load_study(path: Path) -> Study:
    """Read a study.

    Raises:
        ConfigError: the file cannot be read, or something in it is not understood; the message
            names what would be.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read study {path}: {error}") from error
    config = parse_section(StudyConfig, document, where="study")
    _check(config)
    name = _slug(path.stem)
    rows = [
        _fill_in(row, config, scale=scale, name=name, folder=path.parent)
        for scale in config.scales
        for row in config.rows
        if scale in (row.scales or config.scales)
    ]
    _check_starts(rows)
    return Study(name, config, tuple(rows))


def _check(config: StudyConfig) -> None:
    wrong = sorted({s for s in config.scales if s not in TABLE_NAMES})
    if wrong or not config.scales:
        raise ConfigError(f"study.scales is {list(config.scales)}; it must be of 4 and 8")
    if not config.tests or not config.rows:
        raise ConfigError("study.tests and study.rows need at least one entry each")
    slugs = [_slug(row.label) for row in config.rows]
    for row, slug in zip(config.rows, slugs, strict=True):
        where = f"study row {row.label!r}"
        if not slug or slugs.count(slug) > 1 or slug == BICUBIC:
            raise ConfigError(
                f"{where}: labels must differ from {BICUBIC}, which is always there, and from each "
                "other in letters or digits; choose another"
            )
        if bool(row.config) == bool(row.model):
            raise ConfigError(f"{where}: give it either a config to train or a model to load")
        if row.model and (row.set or row.init or row.max_minutes):
            raise ConfigError(f"{where}: set, init and max_minutes belong to a config, not a model")
        if outside := [s for s in row.scales if s not in config.scales]:
            raise ConfigError(f"{where}: scales {outside} are not of study.scales; add them there")
        if row.component is not None and ABLATION_SCALE not in (row.scales or config.scales):
            raise ConfigError(f"{where}: Table III is of x{ABLATION_SCALE}; add it to its scales")


def _fill_in(
    row: RowConfig, config: StudyConfig, *, scale: int, name: str, folder: Path
) -> StudyRow:
    def filled(text: str) -> str:
        return text.replace("{scale}", str(scale))

    is_init_row = row.init.startswith(ROW_PREFIX)
    start = filled(row.init.removeprefix(ROW_PREFIX))
    minutes = row.max_minutes or config.max_minutes
    return StudyRow(
        label=row.label,
        scale=scale,
        run_name=_run_name(name, row.label, scale),
        weights=BEST_NAME if config.weights == "best" else LAST_NAME,
        method=row.method,
        component=row.component if scale == ABLATION_SCALE else None,
        config=folder / filled(row.config) if row.config else None,
        model=filled(row.model),
        overrides=tuple(filled(text) for text in (*config.set, *row.set)),
        max_minutes=minutes or None,
        init=(_run_name(name, start, scale) if is_init_row else start) or None,
        is_init_row=is_init_row,
        landmarks=row.landmarks,
    )


def _check_starts(rows: Sequence[StudyRow]) -> None:
    before: list[str] = []
    for row in rows:
        if row.is_init_row and row.init not in before:
            raise ConfigError(
                f"study row {row.label!r} at x{row.scale}: its init is no earlier row that is "
                "trained at this scale; move that one up or name its label"
            )
        if row.config is not None:
            before.append(row.run_name)


def _run_name(study: str, label: str, scale: int) -> str:
    return f"{study}-{_slug(label)}-x{scale}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
