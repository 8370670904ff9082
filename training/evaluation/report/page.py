"""A comparison as one HTML page that needs nothing else: no request leaves it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_store.emotion.classifier import EMOTIONS
from training.evaluation.agreement import AgreementCheck
from training.evaluation.comparison import Comparison, Difference
from training.evaluation.landmark_controls import CONTROL_MEANINGS
from training.evaluation.measures.measure import Column
from training.evaluation.models import BICUBIC
from training.evaluation.report.confusion import confusion_tables, format_share
from training.evaluation.report.controls import control_columns, control_differences
from training.evaluation.report.expressions import expression_tables
from training.evaluation.report.markup import Markup, join, styled, tag, void_tag
from training.evaluation.report.paper_html import paper_table_html
from training.evaluation.report.reliability import agreement_html
from training.evaluation.report.strips import Strip, data_uri
from training.evaluation.report.tables import paper_tables
from training.evaluation.report.text import MEAN_OVER_SETS, format_estimate
from training.quality import PROTOCOLS, Estimate

_FACES_WARNING = (
    "This page holds photographs of faces. Do not pass it on, and do not publish it, unless the "
    "terms of every set of faces that it was made from allow that."
)


@dataclass(frozen=True)
class PageHead:
    """What stands above the numbers.

    Attributes:
        title: Of the page.
        made: When, in UTC.
        commit: The code that measured.
    """

    title: str
    made: str
    commit: str


def write_page(
    path: Path,
    comparison: Comparison,
    *,
    head: PageHead,
    strips: Sequence[Strip],
    checks: Sequence[AgreementCheck] = (),
) -> None:
    """Write the page."""
    page = report_page(comparison, head=head, strips=strips, checks=checks)
    path.write_text(page, encoding="utf-8")


def report_page(
    comparison: Comparison,
    *,
    head: PageHead,
    strips: Sequence[Strip],
    checks: Sequence[AgreementCheck] = (),
) -> str:
    """Return the page: the paper's tables, controls, faces, every number, how it was measured."""
    css = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    parts = [
        *_opening(comparison, head, has_faces=bool(strips)),
        *(paper_table_html(table) for table in paper_tables(comparison)),
        *_controls(comparison),
        *_expressions(comparison),
        *agreement_html(checks),
        *_confusions(comparison),
        *_strips(strips),
        *_figures(comparison),
        *_method(comparison, head),
    ]
    document = tag(
        "html",
        tag(
            "head",
            void_tag("meta", {"charset": "utf-8"}),
            void_tag(
                "meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}
            ),
            void_tag("meta", {"name": "robots", "content": "noindex"}),
            tag("title", head.title),
            tag("style", Markup(css)),
        ),
        tag("body", tag("main", *parts)),
        attributes={"lang": "en"},
    )
    return f"<!doctype html>\n{document}\n"


def _opening(comparison: Comparison, head: PageHead, *, has_faces: bool) -> Iterator[Markup]:
    sets = ", ".join(f"{name} ({count} faces)" for name, count in comparison.num_faces.items())
    yield tag("h1", head.title)
    yield styled("p", "soft", f"{head.made}. Test faces: {sets}.")
    if has_faces:
        yield styled("div", "warn", _FACES_WARNING)
    if comparison.scales and comparison.has_papers_inputs:
        yield _how_to_read_decibels()
    if comparison.notes:
        yield styled("ul", "notes", *(tag("li", note) for note in comparison.notes))


def _how_to_read_decibels() -> Markup:
    return tag(
        "p",
        "Decibels depend on the test faces, and these are not the paper's. So read differences: "
        "each number's gain over bicubic, on the same faces in the same run, beside the gain that "
        "the paper reports.",
    )


def _controls(comparison: Comparison) -> Iterator[Markup]:
    controls = control_differences(comparison)
    if not controls:
        return
    yield tag("h2", "Do the landmarks help?")
    yield tag(
        "p",
        "The same network on the same faces, given other landmarks, minus itself with its own. If "
        f"landmarks help, every control but the teacher's is worse. Shown: the {MEAN_OVER_SETS}.",
    )
    columns = control_columns(comparison)
    head = tag("tr", tag("th", ""), *(tag("th", column.title) for column in columns))
    rows = [
        tag(
            "tr",
            tag("th", f"x{d.scale} {d.title}", attributes={"class": "long"}),
            *(tag("td", _estimate(d.means.get(c.name), c, is_signed=True)) for c in columns),
        )
        for _, d in controls
    ]
    yield _table(head, rows)
    meanings = {control: CONTROL_MEANINGS[control] for control, _ in controls}
    yield styled("ul", "notes", *(tag("li", f"{c}: {text}") for c, text in meanings.items()))


def _expressions(comparison: Comparison) -> Iterator[Markup]:
    for table in expression_tables(comparison):
        yield tag("h2", f"Expressions kept at x{table.scale}")
        yield styled(
            "p",
            "soft",
            f"Share of faces whose likeliest expression is the original's, {table.basis}. The "
            "faces of all sets together, by what their original shows.",
        )
        head = tag("tr", tag("th", ""), tag("th", "n"), *(tag("th", t) for t in table.titles))
        rows = [
            tag(
                "tr",
                tag("th", row.expression),
                tag("td", str(row.n)),
                *(tag("td", _share(estimate)) for estimate in row.kept),
            )
            for row in table.rows
        ]
        yield _table(head, rows)


def _confusions(comparison: Comparison) -> Iterator[Markup]:
    for table in confusion_tables(comparison):
        yield tag("h2", f"{table.title} on {table.set_name}")
        yield styled(
            "p",
            "soft",
            "Shares of the faces of each true expression (rows) told as each (columns).",
        )
        head = tag("tr", tag("th", ""), tag("th", "n"), *(tag("th", name) for name in EMOTIONS))
        rows = [
            tag(
                "tr",
                tag("th", name),
                tag("td", str(count)),
                *(tag("td", format_share(share)) for share in shares),
            )
            for name, count, shares in table.rows
        ]
        yield _table(head, rows)


def _share(estimate: Estimate | None) -> Markup:
    if estimate is None:
        return Markup("-")
    interval = tag("small", f"[{estimate.low:.3f}, {estimate.high:.3f}]")
    return join([f"{estimate.mean:.3f}", interval])


def _strips(strips: Sequence[Strip]) -> Iterator[Markup]:
    if strips:
        yield tag("h2", "Faces")
        yield tag("p", "Of each set the best, the median and the worst, by PSNR over bicubic.")
    for strip in strips:
        yield tag("h3", f"x{strip.scale}, {strip.set_name}, chosen by {strip.chosen_by}")
        for face in strip.faces:
            yield styled("p", "rank", f"{face.rank}: {face.gain_db:+.2f} dB")
            yield styled(
                "div",
                "strip",
                *(
                    tag(
                        "figure",
                        void_tag("img", {"src": data_uri(image), "alt": title}),
                        tag("figcaption", title),
                    )
                    for title, image in face.images
                ),
            )


def _figures(comparison: Comparison) -> Iterator[Markup]:
    yield tag("h2", "Every number")
    yield styled(
        "p", "soft", "With its 95 % interval over faces, and the count where faces are missing."
    )
    for result in comparison.results:
        described = result.description
        scale = "" if described.scale is None else f"x{described.scale} "
        size = f"{described.num_parameters / 1e6:.2f} M parameters; {described.origin}"
        table = _figure_table(comparison, result.estimates, result.means)
        about = styled("p", "soft", size if described.num_parameters else "no weights")
        yield tag("details", tag("summary", f"{scale}{result.title}"), about, table)
    if comparison.differences:
        yield tag("h2", "Differences")
        yield styled("p", "soft", "Paired, face by face.")
    for difference in comparison.differences:
        yield _difference(comparison, difference)


def _difference(comparison: Comparison, difference: Difference) -> Markup:
    scale = "" if difference.scale is None else f"x{difference.scale} "
    table = _figure_table(comparison, difference.estimates, difference.means, is_signed=True)
    title = f"{scale}{difference.title} minus {difference.reference}"
    return tag("details", tag("summary", title), table)


def _figure_table(
    comparison: Comparison,
    estimates: Mapping[str, Mapping[str, Estimate]],
    means: Mapping[str, Estimate],
    *,
    is_signed: bool = False,
) -> Markup:
    names = list(estimates)
    has_mean = len(names) > 1
    heads = [*names, MEAN_OVER_SETS] if has_mean else names
    rows = []
    for column in comparison.columns:
        found = [estimates[name].get(column.name) for name in names]
        if not any(found):
            continue
        found += [means.get(column.name)] if has_mean else []
        rows.append(
            tag(
                "tr",
                tag("th", column.title, tag("small", column.basis), attributes={"class": "long"}),
                *(tag("td", _estimate(e, column, is_signed=is_signed)) for e in found),
            )
        )
    return _table(tag("tr", tag("th", ""), *(tag("th", head) for head in heads)), rows)


def _estimate(estimate: Estimate | None, column: Column, *, is_signed: bool) -> Markup:
    if estimate is None:
        return Markup("-")
    value, _, interval = format_estimate(estimate, column, is_signed=is_signed).partition(" ")
    return join([value, tag("small", f"{interval} n={estimate.n}")])


def _table(head: Markup, rows: Sequence[Markup]) -> Markup:
    table = styled("table", "figures", tag("thead", head), tag("tbody", *rows))
    return styled("div", "scroll", table)


def _method(comparison: Comparison, head: PageHead) -> Iterator[Markup]:
    digests = ", ".join(f"{name} {digest[:12]}" for name, digest in comparison.digests.items())
    yield tag(
        "footer",
        *(_upscaling_method(comparison) if comparison.scales else ()),
        tag(
            "p",
            "Intervals: bootstrap over faces, 2,000 draws from a fixed seed, middle 95 %; draws of "
            "ECM are moved back by what drawing itself adds to it.",
        ),
        tag("p", f"Measured by the code of commit {head.commit}. Packs: {digests}."),
    )


def _upscaling_method(comparison: Comparison) -> Iterator[Markup]:
    yield tag("p", f"LR images: {comparison.lr_images}.")
    for protocol in PROTOCOLS:
        yield tag("p", f"Protocol {protocol.name}: {protocol.description}.")
    yield tag(
        "p",
        f"Beside the paper's numbers stand those of protocol sfmnet; {BICUBIC} is Pillow's. The "
        "paper's LPIPS is of a backbone that it does not name.",
    )
