"""A comparison as text for the terminal."""

from collections.abc import Iterator, Mapping, Sequence

from training.evaluation.comparison import Comparison, ModelResult
from training.evaluation.measures.measure import Column
from training.quality import PROTOCOLS, Estimate

MEAN_OVER_SETS = "mean of sets"


def comparison_text(comparison: Comparison) -> str:
    """Every number with its interval: a block a model, a row a measure, a column a set."""
    lines = [*_head(comparison), ""]
    for result in comparison.results:
        lines += [_describe(result), *_block(comparison, result.estimates, result.means), ""]
    if comparison.differences:
        lines += ["DIFFERENCES on the same faces, paired", ""]
    for difference in comparison.differences:
        lines += [
            _title(f"{difference.title} minus {difference.reference}", difference.scale),
            *_block(comparison, difference.estimates, difference.means, is_signed=True),
            "",
        ]
    lines += [f"Note: {note}" for note in comparison.notes]
    return "\n".join(lines).rstrip()


def format_estimate(estimate: Estimate, column: Column, *, is_signed: bool = False) -> str:
    """27.391 [27.102, 27.688], with a sign on each number where asked for."""
    spec = f"{'+' if is_signed else ''}.{column.decimals}f"
    return f"{estimate.mean:{spec}} [{estimate.low:{spec}}, {estimate.high:{spec}}]"


def format_share(share: Estimate | None) -> str:
    """0.831 [0.753, 0.909]; a dash where there is none."""
    return "-" if share is None else f"{share.mean:.3f} [{share.low:.3f}, {share.high:.3f}]"


def _head(comparison: Comparison) -> Iterator[str]:
    sets = ", ".join(f"{name} ({count} faces)" for name, count in comparison.num_faces.items())
    if comparison.scales:
        yield f"Measured on {sets}; LR images: {comparison.lr_images}."
        for protocol in PROTOCOLS:
            yield f"Protocol {protocol.name}: {protocol.description}."
    else:
        yield f"Measured on {sets}."
    yield "In brackets the 95 % bootstrap interval over faces; n where faces could not be measured."


def _describe(result: ModelResult) -> str:
    described = result.description
    title = _title(result.title, described.scale)
    if not described.num_parameters:
        return title
    size = f"{described.num_parameters / 1e6:.2f} M parameters"
    return f"{title} ({size}; {described.origin})"


def _title(name: str, scale: int | None) -> str:
    return name if scale is None else f"x{scale} {name}"


def _block(
    comparison: Comparison,
    estimates: Mapping[str, Mapping[str, Estimate]],
    means: Mapping[str, Estimate],
    *,
    is_signed: bool = False,
) -> Iterator[str]:
    names = list(estimates)
    heads = [*names, MEAN_OVER_SETS] if len(names) > 1 else names
    rows: list[Sequence[str]] = [["", *heads]]
    for column in comparison.columns:
        found = [estimates[name].get(column.name) for name in names]
        if not any(found):
            continue
        cells = [
            _cell(estimate, column, of=comparison.num_faces[name], is_signed=is_signed)
            for name, estimate in zip(names, found, strict=True)
        ]
        if len(names) > 1:
            total = sum(comparison.num_faces.values())
            mean = means.get(column.name)
            cells.append(_cell(mean, column, of=total, is_signed=is_signed))
        rows.append([column.name, *cells])
    yield from align(rows)


def _cell(estimate: Estimate | None, column: Column, *, of: int, is_signed: bool) -> str:
    if estimate is None:
        return "-"
    count = "" if estimate.n == of else f" n={estimate.n}"
    return format_estimate(estimate, column, is_signed=is_signed) + count


def align(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lay cells out in columns: the first to the left, the others to the right."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for first, *others in rows:
        right = "".join(f"{c:>{w + 2}}" for c, w in zip(others, widths[1:], strict=True))
        yield f"  {first:<{widths[0]}}{right}".rstrip()
