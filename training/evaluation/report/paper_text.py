"""The paper's tables as text for the terminal."""

import textwrap
from collections.abc import Iterator, Sequence

from training.evaluation.comparison import Comparison
from training.evaluation.paper import METRIC_DECIMALS, PaperMetric
from training.evaluation.report.tables import Cell, PaperTable, paper_tables
from training.evaluation.report.text import align

_HEAD_WIDTH = 14


def paper_tables_text(comparison: Comparison) -> str:
    """Tables I to III: ours, our gain over bicubic, and the paper's two."""
    return "\n\n".join("\n".join(_lines(table)) for table in paper_tables(comparison))


def _lines(table: PaperTable) -> Iterator[str]:
    yield f"{table.name.upper()}, x{table.scale}, beside arXiv:2502.09932"
    yield from align(list(_ablation_rows(table) if table.is_ablation else _method_rows(table)))
    for head in table.heads:
        if head.result is not None and head.result.description.origin:
            made = head.result.description
            size = f"{made.num_parameters / 1e6:.2f} M parameters"
            yield f"  {head.title}: {head.result.title}, {size}, {made.origin}"


def _method_rows(table: PaperTable) -> Iterator[Sequence[str]]:
    """A column a method, four lines a metric."""
    titles = [textwrap.wrap(head.title, _HEAD_WIDTH) for head in table.heads]
    for place in range(max(map(len, titles))):
        yield ["", "", "", *(t[place] if place < len(t) else "" for t in titles)]
    for group in table.groups:
        for place, row in enumerate(group.rows):
            lines = [_cell_lines(cell, row.metric) for cell in row.cells]
            for kind, name in enumerate(_LINE_NAMES):
                first = f"{group.title} (n={group.num_faces})" if place == kind == 0 else ""
                metric = row.metric if kind == 0 else ""
                yield [first, metric, name, *(cell[kind] for cell in lines)]


def _ablation_rows(table: PaperTable) -> Iterator[Sequence[str]]:
    """A row a network with four lines, a column a set's metric."""
    columns = [(group, row) for group in table.groups for row in group.rows]
    yield ["", "", *(group.title for group, _ in columns)]
    yield ["", "", *(row.metric for _, row in columns)]
    for place, head in enumerate(table.heads):
        lines = [_cell_lines(row.cells[place], row.metric) for _, row in columns]
        for kind, name in enumerate(_LINE_NAMES):
            yield [head.title if kind == 0 else "", name, *(cell[kind] for cell in lines)]


_LINE_NAMES = ("ours", "our gain", "paper", "paper's gain")


def _cell_lines(cell: Cell, metric: PaperMetric) -> tuple[str, ...]:
    digits = METRIC_DECIMALS[metric]
    return (
        "-" if cell.measured is None else f"{cell.measured.mean:.{digits}f}",
        "-" if cell.gain is None else f"{cell.gain.mean:+.{digits}f}",
        "-" if cell.paper is None else f"{cell.paper:.{digits}f}",
        "-" if cell.paper_gain is None else f"{cell.paper_gain:+.{digits}f}",
    )
