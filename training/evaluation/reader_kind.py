"""What evaluation and publishing ask of a kind of networks that read faces."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from training.config import PublishConfig
from training.evaluation.comparison import Comparison, ModelResult
from training.evaluation.models import Opened


class ReaderKind(Protocol):
    """A kind of networks that read something from faces.

    Attributes:
        does: What such a network does, for messages: "finds landmarks".
        architectures: Names of the networks of this kind.
        gate_columns: Measures in which a version must not be worse than the one it replaces.
    """

    does: str
    architectures: frozenset[str]
    gate_columns: tuple[str, ...]

    def compare(
        self,
        networks: Mapping[str, Opened],
        *,
        packs: Path,
        tests: Sequence[str],
        max_faces: int | None = None,
        against: str | None = None,
    ) -> Comparison:
        """Measure networks of this kind, in eval mode, on the same faces.

        Args:
            networks: By the names that reports give them.
            packs: Folder of packs.
            tests: Names of the packs to measure on.
            max_faces: At most so many faces of each.
            against: The network from which differences are taken; None takes the first.

        Raises:
            DataError: a pack cannot be used, or a network learnt from it.
        """

    def shortfalls(self, result: ModelResult, thresholds: PublishConfig) -> Iterator[str]:
        """Say where a network is below what it must reach before it is published."""
