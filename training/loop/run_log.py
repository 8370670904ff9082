"""What a run leaves to read: curve.jsonl, skipped.jsonl, TensorBoard events, a progress bar."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from training.loop.stepping import StepReport

CURVE_NAME = "curve.jsonl"
SKIPPED_NAME = "skipped.jsonl"


class RunLog:
    """Writes into a run's folder; lines of a run that went on from an earlier step are dropped.

    ``curve.jsonl`` has a line a validation with ``step``, ``images_seen``, ``minutes``,
    ``learning_rate``, the scores on the validation slice by their names, those on training faces
    as ``train_*``, and ``gap``: how much better the training faces score.
    """

    def __init__(self, folder: Path, writer: SummaryWriter, bar: "tqdm[None]") -> None:
        self._folder = folder
        self._writer = writer
        self._bar = bar

    def add_step(self, report: StepReport) -> None:
        """Record a step; one that was skipped has a line with all its values."""
        if report.is_skipped:
            _append_line(self._folder / SKIPPED_NAME, asdict(report))
        else:
            values = {
                **report.terms,
                "loss": report.loss,
                "gradient_norm": report.gradient_norm,
                "learning_rate": report.learning_rate,
            }
            for name, value in values.items():
                self._writer.add_scalar(f"train/{name}", value, report.step)
        self._bar.update()

    def add_validation(self, line: Mapping[str, float], *, score_name: str, best: float) -> None:
        """Record what was measured at a validation."""
        _append_line(self._folder / CURVE_NAME, line)
        for name, value in line.items():
            if name != "step":
                self._writer.add_scalar(f"validation/{name}", value, int(line["step"]))
        shown = {score_name: line[score_name], "best": best, "gap": line["gap"]}
        self._bar.set_postfix({name: f"{value:.4f}" for name, value in shown.items()})

    def add_faces(self, grid: Tensor, *, step: int) -> None:
        """Record a (3, H, W) uint8 picture of the validation faces."""
        self._writer.add_image("validation/faces", grid, step)


@contextmanager
def open_log(folder: Path, *, step: int, max_steps: int) -> Iterator[RunLog]:
    """Open a run's log to go on after ``step``."""
    for name in (CURVE_NAME, SKIPPED_NAME):
        # A run that starts drops all: of one that was killed before its first checkpoint.
        _drop_lines_after(folder / name, step if step > 0 else -1)
    with (
        SummaryWriter(str(folder), purge_step=step + 1 if step else None) as writer,
        tqdm(total=max_steps, initial=step, unit="step") as bar,
    ):
        yield RunLog(folder, writer, bar)


def _append_line(path: Path, line: Mapping[str, object]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _drop_lines_after(path: Path, step: int) -> None:
    """A run that was killed after its last checkpoint takes those steps again."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    path.write_text("".join(kept), encoding="utf-8")
