"""Which expressions a classifier takes for which: confusion matrices, one a set and model."""

from collections.abc import Iterator
from dataclasses import dataclass

from model_store.emotion.classifier import CROP_PX, EMOTIONS
from training.evaluation.classifier import CONFUSION_COLUMN, confusion_of
from training.evaluation.comparison import Comparison
from training.evaluation.report.text import align
from training.quality import Confusion

_COLUMN = f"{CONFUSION_COLUMN}_{CROP_PX}px"


@dataclass(frozen=True)
class ConfusionTable:
    """What a model told of a set's faces, as they are.

    Attributes:
        title: The model.
        set_name: The set.
        counts: (7, 7), rows the true expression, columns the one that was told.
    """

    title: str
    set_name: str
    counts: Confusion

    @property
    def rows(self) -> Iterator[tuple[str, int, tuple[float | None, ...]]]:
        """Expression, number of its faces, and the share of them told as each; None for none."""
        for name, row in zip(EMOTIONS, self.counts.tolist(), strict=True):
            total = sum(row)
            yield name, total, tuple(count / total if total else None for count in row)


def confusion_tables(comparison: Comparison) -> list[ConfusionTable]:
    """A table for each model and set; none where no classifier was measured."""
    return [
        ConfusionTable(result.title, name, confusion_of(values[_COLUMN]))
        for result in comparison.results
        for name, values in result.values.items()
        if _COLUMN in values
    ]


def confusions_text(comparison: Comparison) -> str:
    """The tables for the terminal, in shares of a row; empty where there is none."""
    return "\n\n".join("\n".join(_lines(table)) for table in confusion_tables(comparison))


def format_share(share: float | None) -> str:
    """0.873, or a dash where there is no face."""
    return "-" if share is None else f"{share:.3f}"


def _lines(table: ConfusionTable) -> Iterator[str]:
    yield f"{table.title} on {table.set_name}: rows are the true expression, columns what was told"
    rows = ([name, str(n), *map(format_share, shares)] for name, n, shares in table.rows)
    yield from align([["", "n", *EMOTIONS], *rows])
