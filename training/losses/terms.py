"""What a loss says of one batch."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class LossTerms:
    """The loss of one batch.

    Attributes:
        total: Scalar to minimise.
        terms: Its named parts, before weighting, detached.
    """

    total: Tensor
    terms: Mapping[str, Tensor]

    def plus(self, other: "LossTerms") -> "LossTerms":
        """Minimise both; a term of a name that both have is the other's."""
        return LossTerms(self.total + other.total, {**self.terms, **other.terms})
