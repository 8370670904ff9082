"""The paper's tables filled with what was measured, beside what is printed there.

Text and HTML are written from the same tables, so they cannot disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from training.evaluation.comparison import Comparison, ModelResult
from training.evaluation.models import BICUBIC
from training.evaluation.paper import (
    ABLATION_METRICS,
    ABLATION_SCALE,
    COLUMN_OF,
    COMPONENTS,
    METHODS,
    PAPER_METRICS,
    TABLE_NAMES,
    Component,
    Dataset,
    Method,
    PaperMetric,
    ablation_value,
    dataset_of,
    paper_value,
)
from training.quality import Estimate


@dataclass(frozen=True)
class Cell:
    """One number of ours beside the paper's.

    Attributes:
        measured: None where nothing was measured.
        gain: Paired difference to bicubic on the same faces; None for bicubic itself.
        paper: None where the paper has no such cell.
        paper_gain: The paper's difference to its bicubic.
    """

    measured: Estimate | None
    gain: Estimate | None
    paper: float | None
    paper_gain: float | None


@dataclass(frozen=True)
class MetricRow:
    """One metric on one set, a cell for each head of the table."""

    metric: PaperMetric
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class SetGroup:
    """The rows of one set of faces.

    Attributes:
        set_name: Of ours.
        dataset: The paper's that it stands for; None for a set that the paper does not have.
        num_faces: Of ours.
        rows: Metric by metric.
    """

    set_name: str
    dataset: Dataset | None
    num_faces: int
    rows: tuple[MetricRow, ...]

    @property
    def title(self) -> str:
        """How readers know the set."""
        return self.dataset or self.set_name


@dataclass(frozen=True)
class Head:
    """A column of Tables I and II, a row of Table III.

    Attributes:
        paper_name: What the paper calls it; None for a model that the paper does not have.
        result: What was measured; None for what only the paper has.
    """

    paper_name: Method | Component | None
    result: ModelResult | None

    @property
    def title(self) -> str:
        """The paper's name, or the model's where the paper has none."""
        return self.paper_name or (self.result.title if self.result else "")


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables with our numbers in it.

    Attributes:
        name: "Table II".
        scale: 4 or 8.
        heads: Methods, or components of the ablation.
        groups: Set by set.
    """

    name: str
    scale: int
    heads: tuple[Head, ...]
    groups: tuple[SetGroup, ...]

    @property
    def is_ablation(self) -> bool:
        """Whether it is Table III."""
        return self.name == ABLATION_NAME


ABLATION_NAME = "Table III"


def paper_tables(comparison: Comparison) -> list[PaperTable]:
    """Fill Tables I and II for the scales that were measured, and III if a part of it was.

    Of other inputs than the paper's there are none.
    """
    if not comparison.has_papers_inputs:
        return []
    tables = [_method_table(comparison, scale) for scale in comparison.scales]
    if any(head.result is not None for head in _component_heads(comparison)[:-1]):
        tables.append(_ablation_table(comparison))
    return tables


def _method_table(comparison: Comparison, scale: int) -> PaperTable:
    results = [r for r in comparison.at_scale(scale) if not _is_control(r)]
    heads: list[Head] = []
    for method in METHODS:
        named = [r for r in results if r.description.method == method]
        heads += [Head(method, result) for result in named] or [Head(method, None)]
    heads += [
        Head(None, r)
        for r in results
        if r.description.method is None and r.description.component is None
    ]
    groups = _groups(comparison, heads, metrics=PAPER_METRICS, scale=scale)
    return PaperTable(TABLE_NAMES[scale], scale, tuple(heads), groups)


def _ablation_table(comparison: Comparison) -> PaperTable:
    heads = _component_heads(comparison)
    groups = _groups(comparison, heads, metrics=ABLATION_METRICS, scale=ABLATION_SCALE)
    return PaperTable(ABLATION_NAME, ABLATION_SCALE, tuple(heads), groups)


def _component_heads(comparison: Comparison) -> list[Head]:
    """A head for each row of Table III, the whole network last."""
    heads: list[Head] = []
    for component in COMPONENTS:
        named = [
            r for r in comparison.at_scale(ABLATION_SCALE) if r.description.component == component
        ]
        heads += [Head(component, r) for r in named] or [Head(component, None)]
    return heads


def _groups(
    comparison: Comparison,
    heads: Sequence[Head],
    *,
    metrics: Sequence[PaperMetric],
    scale: int,
) -> tuple[SetGroup, ...]:
    return tuple(
        SetGroup(
            name,
            dataset_of(name),
            count,
            tuple(
                MetricRow(metric, tuple(_cell(comparison, h, metric, name, scale) for h in heads))
                for metric in metrics
            ),
        )
        for name, count in comparison.num_faces.items()
    )


def _cell(
    comparison: Comparison, head: Head, metric: PaperMetric, set_name: str, scale: int
) -> Cell:
    column = COLUMN_OF[metric]
    measured = gain = None
    if head.result is not None:
        measured = head.result.estimates[set_name].get(column)
        difference = comparison.find_difference(head.result, reference=BICUBIC)
        gain = None if difference is None else difference.estimates[set_name].get(column)
    paper = paper_gain = None
    dataset = dataset_of(set_name)
    if head.paper_name is not None and dataset is not None:
        paper = _paper_cell(head.paper_name, metric, dataset, scale)
        bicubic = paper_value(metric, method="Bicubic", dataset=dataset, scale=scale)
        if paper is not None and bicubic is not None and head.paper_name != "Bicubic":
            paper_gain = paper - bicubic
    return Cell(measured, gain, paper, paper_gain)


def _paper_cell(
    name: Method | Component, metric: PaperMetric, dataset: Dataset, scale: int
) -> float | None:
    for method in METHODS:
        if name == method:
            return paper_value(metric, method=method, dataset=dataset, scale=scale)
    for component in COMPONENTS:
        if name == component:
            return ablation_value(metric, component=component, dataset=dataset)
    return None


def _is_control(result: ModelResult) -> bool:
    return result.description.control not in (None, "lr")
