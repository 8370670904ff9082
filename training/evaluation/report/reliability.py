"""Reliability diagrams: what a calibration says of expressions, beside what became of them."""

from collections.abc import Iterator, Sequence

from model_store.emotion.recoverability import RECOVERABLE_FROM
from training.evaluation.agreement import AgreementCheck
from training.evaluation.report.markup import Markup, styled, tag
from training.evaluation.report.text import align, format_share
from training.quality import Reliability

_SIDE_PX = 220
_MARGIN_PX = 34
_PADDING_PX = 16  # half of the largest dot


def agreement_text(checks: Sequence[AgreementCheck]) -> str:
    """For the terminal: of each model a row a set, then its bins and its expressions."""
    return "\n\n".join(
        "\n".join(block) for _, of_model in _by_model(checks) for block in _blocks(of_model)
    )


def agreement_html(checks: Sequence[AgreementCheck]) -> Iterator[Markup]:
    """A heading; of each model a diagram for each set, and a table by expression."""
    if not checks:
        return
    yield tag("h2", "Is the expression recoverable?")
    yield tag(
        "p",
        "How likely the original's likeliest expression is the result's, as the calibration says "
        "it from the result and the network's input alone, beside how often it was. On the "
        "diagonal both agree; bars are 95 % intervals, and a dot grows with its share of the "
        f"faces. An expression is called recoverable from {RECOVERABLE_FROM:g} on.",
    )
    for title, of_model in _by_model(checks):
        yield tag("h3", title)
        yield styled("div", "strip", *(_figure(check) for check in of_model))
        yield styled("p", "soft", f"{of_model[0].faces}, by what the result shows:")
        yield _expression_table(of_model[0])


def reliability_svg(reliability: Reliability) -> Markup:
    """The diagram: said across, kept upwards, a dot for each bin with its interval."""
    shapes = [_axes()]
    for part in reliability.bins:
        x, y = _across(part.said), _upward(part.share.mean)
        radius = 2 + 12 * (part.share.n / reliability.share.n) ** 0.5
        low, high = _upward(part.share.low), _upward(part.share.high)
        shapes.append(_line(x, low, x, high, "var(--accent)"))
        shapes.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="var(--accent)" '
            'fill-opacity="0.55"/>'
        )
    return Markup(
        f'<svg viewBox="0 0 {_SIDE_PX} {_SIDE_PX}" width="{_SIDE_PX}" height="{_SIDE_PX}" '
        f'role="img" aria-label="reliability diagram">{"".join(shapes)}</svg>'
    )


def _by_model(
    checks: Sequence[AgreementCheck],
) -> Iterator[tuple[str, Sequence[AgreementCheck]]]:
    for title in dict.fromkeys(check.title for check in checks):
        yield title, [check for check in checks if check.title == title]


def _blocks(checks: Sequence[AgreementCheck]) -> Iterator[list[str]]:
    rows: list[Sequence[str]] = [
        [
            *("", "n", "kept", "said", "ECE", "Brier", "Brier of the share"),
            *(f"said >= {RECOVERABLE_FROM:g}", "of them kept"),
        ]
    ]
    for check in checks:
        found = check.reliability
        said = sum(part.said * part.share.n for part in found.bins) / found.share.n
        rows.append(
            [
                check.faces,
                str(found.share.n),
                format_share(found.share),
                f"{said:.3f}",
                f"{found.calibration_error:.3f}",
                f"{found.brier.mean:.4f}",
                f"{found.base_brier:.4f}",
                f"{check.share_recoverable:.3f}",
                format_share(check.recoverable_kept),
            ]
        )
    yield [f"IS THE EXPRESSION RECOVERABLE? {checks[0].title}", *align(rows)]
    bins = [
        [f"{b.said:.3f}", str(b.share.n), format_share(b.share)] for b in checks[0].reliability.bins
    ]
    yield list(align([["said", "n", "kept"], *bins]))
    expressions = [
        [e.expression, str(e.kept.n), f"{e.said:.3f}", format_share(e.kept)]
        for e in checks[0].by_expression
    ]
    yield list(align([["result shows", "n", "said", "kept"], *expressions]))


def _figure(check: AgreementCheck) -> Markup:
    found = check.reliability
    caption = (
        f"{check.faces}: n = {found.share.n}, ECE {found.calibration_error:.3f}, "
        f"Brier {found.brier.mean:.3f} (of the share alone {found.base_brier:.3f}). Recoverable: "
        f"{check.share_recoverable:.1%} of the faces; of them kept: "
        f"{format_share(check.recoverable_kept)}."
    )
    return styled("figure", "diagram", reliability_svg(found), tag("figcaption", caption))


def _expression_table(check: AgreementCheck) -> Markup:
    head = tag("tr", *(tag("th", name) for name in ("", "n", "said", "kept")))
    rows = [
        tag(
            "tr",
            tag("th", row.expression),
            tag("td", str(row.kept.n)),
            tag("td", f"{row.said:.3f}"),
            tag("td", format_share(row.kept)),
        )
        for row in check.by_expression
    ]
    table = styled("table", "figures", tag("thead", head), tag("tbody", *rows))
    return styled("div", "scroll", table)


def _axes() -> str:
    ends = (0.0, 1.0)
    box = [
        _line(_across(a), _upward(b), _across(c), _upward(d), "var(--line)")
        for a, b, c, d in ((0, 0, 1, 0), (0, 0, 0, 1), (0, 0, 1, 1))
    ]
    threshold = _across(RECOVERABLE_FROM)
    box.append(_line(threshold, _upward(0), threshold, _upward(1), "var(--line)", dashes="3 3"))
    labels = [_text(_across(x), _upward(0) + 14, f"{x:g}") for x in ends]
    labels += [_text(_across(0) - 12, _upward(y) + 4, f"{y:g}") for y in ends]
    labels.append(_text(_across(0.5), _upward(0) + 26, "said"))
    labels.append(_text(_across(0) - 14, _upward(0.5), "kept"))
    return "".join([*box, *labels])


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str, *, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" '
        f'stroke-width="1.5"{dashed}/>'
    )


def _text(x: float, y: float, text: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" font-size="11" fill="var(--soft)">'
        f"{text}</text>"
    )


def _across(value: float) -> float:
    return _MARGIN_PX + value * (_SIDE_PX - _MARGIN_PX - _PADDING_PX)


def _upward(value: float) -> float:
    return _PADDING_PX + (1 - value) * (_SIDE_PX - _MARGIN_PX - _PADDING_PX)
