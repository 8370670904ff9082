"""Landmark controls: a network given other landmarks, minus itself with its own."""

from collections.abc import Sequence

from training.evaluation.comparison import Comparison, Difference
from training.evaluation.landmark_controls import LandmarkControl
from training.evaluation.measures.measure import Column
from training.evaluation.report.text import MEAN_OVER_SETS, align, format_estimate

_COLUMNS = (
    "psnr_db",
    "ssim",
    "lpips_squeeze",
    "nme_mediapipe",
    "nme_mediapipe_mouth",
    "ecm",
    "expression_agreement",
)


def control_differences(comparison: Comparison) -> list[tuple[LandmarkControl, Difference]]:
    """Each control's difference to the same network with its own landmarks."""
    found: list[tuple[LandmarkControl, Difference]] = []
    for difference in comparison.differences:
        result = comparison.find(difference.title, scale=difference.scale)
        if result is None or difference.reference != result.description.name:
            continue
        control = result.description.control
        if control is not None and control != "lr":
            found.append((control, difference))
    return found


def control_columns(comparison: Comparison) -> list[Column]:
    """The measures by which controls are told apart, as far as they were taken."""
    return [column for column in comparison.columns if column.name in _COLUMNS]


def controls_text(comparison: Comparison) -> str:
    """A row a control, with intervals; empty where no control was measured."""
    differences = control_differences(comparison)
    if not differences:
        return ""
    columns = control_columns(comparison)
    rows: list[Sequence[str]] = [["", *(column.name for column in columns)]]
    for _, difference in differences:
        cells = (
            format_estimate(estimate, column, is_signed=True) if estimate is not None else "-"
            for column in columns
            for estimate in [difference.means.get(column.name)]
        )
        rows.append([f"x{difference.scale} {difference.title}", *cells])
    head = f"LANDMARK CONTROLS, minus the same network with its own landmarks, {MEAN_OVER_SETS}"
    return "\n".join([head, *align(rows)])
