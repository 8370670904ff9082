"""The paper's tables as HTML, laid out as they are there.

A cell holds our number with its interval, our gain over bicubic, and in small the paper's two.
"""

from collections.abc import Iterator

from training.evaluation.paper import METRIC_DECIMALS, OURS, PaperMetric
from training.evaluation.report.markup import Markup, join, styled, tag
from training.evaluation.report.tables import Cell, Head, PaperTable, SetGroup

_LOWER_IS_BETTER: tuple[PaperMetric, ...] = ("LPIPS", "ECM")


def paper_table_html(table: PaperTable) -> Markup:
    """One of the paper's tables under its heading."""
    what = "the parts of AffectSRNet" if table.is_ablation else "methods"
    content = _ablation(table) if table.is_ablation else _methods(table)
    return join(
        [
            tag("h2", f"{table.name}: {what} at x{table.scale}"),
            styled(
                "p",
                "soft",
                "Bold: measured here, with its 95 % interval. Coloured: its gain over bicubic. "
                "Small: the paper's value and the paper's gain.",
            ),
            styled("div", "scroll", styled("table", "paper", *content)),
        ]
    )


def _methods(table: PaperTable) -> Iterator[Markup]:
    """Tables I and II: a column a method, a row a set's metric."""
    heads = [_head(head, head.paper_name == OURS) for head in table.heads]
    yield tag("thead", tag("tr", tag("th", ""), *heads))
    rows = []
    for group in table.groups:
        label = tag("th", *_set_title(group))
        filler = tag("td", attributes={"colspan": str(len(table.heads))})
        rows.append(styled("tr", "set", label, filler))
        for row in group.rows:
            cells = (
                _cell(cell, row.metric, head.paper_name == OURS)
                for cell, head in zip(row.cells, table.heads, strict=True)
            )
            rows.append(tag("tr", tag("th", *_metric_title(row.metric)), *cells))
    yield tag("tbody", *rows)


def _ablation(table: PaperTable) -> Iterator[Markup]:
    """Table III: a row a network, a column a set's metric."""
    sets = (
        tag("th", *_set_title(group), attributes={"colspan": str(len(group.rows))})
        for group in table.groups
    )
    metrics = (
        tag("th", *_metric_title(row.metric)) for group in table.groups for row in group.rows
    )
    yield tag("thead", tag("tr", tag("th", ""), *sets), tag("tr", tag("th", ""), *metrics))
    last = table.heads[-1].paper_name
    rows = []
    for place, head in enumerate(table.heads):
        is_ours = head.paper_name == last
        cells = (
            _cell(row.cells[place], row.metric, is_ours)
            for group in table.groups
            for row in group.rows
        )
        rows.append(styled("tr", "set", _head(head, is_ours, is_long=True), *cells))
    yield tag("tbody", *rows)


def _head(head: Head, is_ours: bool, *, is_long: bool = False) -> Markup:
    parts: list[str] = [head.title]
    if head.result is not None and head.result.title.lower() != head.title.lower():
        parts.append(tag("small", head.result.title))
    css = " ".join(name for name, is_on in (("ours", is_ours), ("long", is_long)) if is_on)
    return styled("th", css, *parts)


def _set_title(group: SetGroup) -> Iterator[str]:
    pack = "" if group.title == group.set_name else f"{group.set_name}, "
    yield group.title
    yield tag("small", f"{pack}n = {group.num_faces}")


def _metric_title(metric: PaperMetric) -> Iterator[str]:
    yield metric
    yield tag("small", "lower is better" if metric in _LOWER_IS_BETTER else "higher is better")


def _cell(cell: Cell, metric: PaperMetric, is_ours: bool) -> Markup:
    digits = METRIC_DECIMALS[metric]
    parts: list[str] = []
    if cell.measured is None:
        parts.append(styled("span", "soft", "-"))
    else:
        low, high = cell.measured.low, cell.measured.high
        parts.append(styled("span", "value", f"{cell.measured.mean:.{digits}f}"))
        if cell.gain is not None:
            parts.append(styled("span", "gain", f"{cell.gain.mean:+.{digits}f}"))
        parts.append(tag("small", f"[{low:.{digits}f}, {high:.{digits}f}]"))
    if cell.paper is not None:
        gain = "" if cell.paper_gain is None else f" {cell.paper_gain:+.{digits}f}"
        parts.append(tag("small", f"paper {cell.paper:.{digits}f}{gain}"))
    return styled("td", "ours" if is_ours else "", *parts)
