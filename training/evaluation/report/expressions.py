"""Which expressions are kept and which are lost: agreement by what the original shows.

The faces of all sets count together: in one set alone some expressions are too rare for a share.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model_store.emotion.classifier import EMOTIONS
from training.evaluation.comparison import Comparison, ModelResult
from training.evaluation.measures.expression import ECM_COLUMN, read_pairs
from training.evaluation.report.text import align, format_share
from training.quality import Estimate, Values, estimate_mean


@dataclass(frozen=True)
class ExpressionRow:
    """The faces whose original shows one expression.

    Attributes:
        expression: By the classifier's likeliest class; "all" for the last row.
        n: Number of faces.
        kept: By model, the share whose image shows the same; None without a face.
    """

    expression: str
    n: int
    kept: tuple[Estimate | None, ...]


@dataclass(frozen=True)
class ExpressionTable:
    """All expressions at one scale.

    Attributes:
        scale: 4 or 8.
        basis: Who read them.
        titles: The models.
        rows: A row an expression, in the classifier's order, then one for all faces.
    """

    scale: int
    basis: str
    titles: tuple[str, ...]
    rows: tuple[ExpressionRow, ...]


def expression_tables(comparison: Comparison) -> list[ExpressionTable]:
    """A table for each scale; none where no expression was read."""
    basis = next((c.basis for c in comparison.columns if c.name == ECM_COLUMN), None)
    if basis is None:
        return []
    return [_table(comparison.at_scale(scale), scale, basis) for scale in comparison.scales]


def expressions_text(comparison: Comparison) -> str:
    """The tables for the terminal; empty where no expression was read."""
    return "\n\n".join("\n".join(_lines(table)) for table in expression_tables(comparison))


def _table(results: Sequence[ModelResult], scale: int, basis: str) -> ExpressionTable:
    sides = [_sides(result.values) for result in results]
    original = sides[0][0].argmax(1)
    kept = [(first.argmax(1) == second.argmax(1)).astype(np.float64) for first, second in sides]
    shown = [(name, original == index) for index, name in enumerate(EMOTIONS)]
    rows = tuple(
        ExpressionRow(
            name,
            int(is_shown.sum()),
            tuple(estimate_mean(k[is_shown]) if is_shown.any() else None for k in kept),
        )
        for name, is_shown in [*shown, ("all", np.ones(len(original), dtype=bool))]
    )
    return ExpressionTable(scale, basis, tuple(result.title for result in results), rows)


def _sides(values: Mapping[str, Mapping[str, Values]]) -> tuple[Values, Values]:
    return read_pairs(np.concatenate([of_set[ECM_COLUMN] for of_set in values.values()]))


def _lines(table: ExpressionTable) -> Iterator[str]:
    yield f"EXPRESSIONS KEPT, x{table.scale}, share of faces, {table.basis}"
    cells = ([row.expression, str(row.n), *map(format_share, row.kept)] for row in table.rows)
    yield from align([["", "n", *table.titles], *cells])
