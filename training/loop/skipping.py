"""Steps whose loss or gradients were not finite: counted, and the run ended when they go on."""

import math
from pathlib import Path

from training.errors import DivergedError
from training.loop.stepping import StepReport


class SkipGuard:
    """Counts skipped steps.

    Attributes:
        skipped: All of the run.
        skipped_in_a_row: Those since the last step that was taken.
    """

    def __init__(self, *, max_in_a_row: int) -> None:
        self.skipped = 0
        self.skipped_in_a_row = 0
        self._max_in_a_row = max_in_a_row
        self._reports: list[StepReport] = []

    def check(self, report: StepReport, *, checkpoint: Path) -> None:
        """Count a step.

        Raises:
            DivergedError: it is the last of too many in a row that were skipped; the message says
                which, and what of them was not finite.
        """
        if not report.is_skipped:
            self.skipped_in_a_row = 0
            self._reports.clear()
            return
        self.skipped += 1
        self.skipped_in_a_row += 1
        self._reports.append(report)
        if self.skipped_in_a_row < self._max_in_a_row:
            return
        first, last = self._reports[0], self._reports[-1]
        raise DivergedError(
            f"the loss or its gradients were not finite for {self.skipped_in_a_row} steps in a "
            f"row; step {first.step}: {_describe(first)}; step {last.step}: {_describe(last)}. "
            f"{checkpoint}, if written, is from before. Lower the learning rate or use "
            'precision = "float32"'
        )


def _describe(report: StepReport) -> str:
    values = {**report.terms, "total": report.loss, "gradient norm": report.gradient_norm}
    broken = [f"{name} {value}" for name, value in values.items() if not math.isfinite(value)]
    fine = [f"{name} {value:.4g}" for name, value in values.items() if math.isfinite(value)]
    return ", ".join(broken) + (f" ({', '.join(fine)})" if fine else "")
