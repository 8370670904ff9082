"""Whether a run may become a version: good enough, and not worse than the version it replaces.

A version is *worse* than another in a measure when the whole 95 % interval of their paired
difference, over the faces of the same test packs in the same run, lies on the worse side of zero:
by more, that is, than the choice of faces explains. Worse in any of the measures below is an
objection, however much better in another: whoever trades one for the other says so, and the
manifest keeps it.
"""

from collections.abc import Iterator

from training.config import PublishConfig
from training.evaluation.comparison import Comparison, ModelResult
from training.evaluation.readers import reader_kind
from training.evaluation.report.text import format_estimate

GATE_COLUMNS = (
    "psnr_db",
    "ssim",
    "lpips_squeeze",
    "nme_mediapipe",
    "nme_mediapipe_mouth",
    "ecm",
    "expression_agreement",
)


def list_objections(
    comparison: Comparison, *, candidate: str, previous: str | None, thresholds: PublishConfig
) -> list[str]:
    """Say what speaks against publishing a model; nothing does where the list is empty.

    Args:
        comparison: Of the candidate, and of the version that it would replace if there is one.
        candidate: Title of the model to publish.
        previous: Title of that version.
        thresholds: What a model must reach by itself.
    """
    result = next(r for r in comparison.results if r.title == candidate)
    objections = list(_below_thresholds(comparison, result, thresholds))
    if previous is not None:
        objections += _worse_than(comparison, result, previous)
    return objections


def _below_thresholds(
    comparison: Comparison, result: ModelResult, thresholds: PublishConfig
) -> Iterator[str]:
    kind = reader_kind(result.description.architecture)
    if kind is not None:
        yield from kind.shortfalls(result, thresholds)
        return
    gain = comparison.find_difference(result)
    assert gain is not None  # bicubic is always measured beside
    gain_db, least = gain.means["psnr_db"].mean, thresholds.minimum_psnr_gain_db
    if not gain_db >= least:
        yield (
            f"psnr_db is {gain_db:+.3f} dB over bicubic; publish.minimum_psnr_gain_db is {least}"
        )


def _worse_than(comparison: Comparison, result: ModelResult, previous: str) -> Iterator[str]:
    replaced = comparison.find(previous, scale=result.description.scale)
    difference = comparison.find_difference(result, reference=previous)
    assert replaced is not None  # measured in the same call
    assert difference is not None
    count = sum(comparison.num_faces.values())
    kind = reader_kind(result.description.architecture)
    gate_columns = GATE_COLUMNS if kind is None else kind.gate_columns
    for column in comparison.columns:
        if column.name not in gate_columns or column.name not in replaced.means:
            continue
        found = difference.means.get(column.name)
        if found is None:
            yield f"{column.name} could not be measured, while {previous} has it"
        elif column.is_worse(found):
            by = format_estimate(found, column, is_signed=True)
            yield f"{column.name} is worse than {previous}'s by {by} on {found.n} of {count} faces"
