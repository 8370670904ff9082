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
