"""The seam between the trainer and what it trains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from training.data.draws import BatchDraws
from training.data.pack import Split
from training.losses.terms import LossTerms


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that learn at ``rate`` times the schedule's learning rate."""

    parameters: Sequence[nn.Parameter]
    rate: float = 1.0


class TrainingTask(Protocol):
    """A network together with the faces that it learns from, its loss and its validation score.

    Attributes:
        network: The module whose parameters are trained.
        score_name: Key in :meth:`validate`'s result that is maximised; the best is published.
    """

    network: nn.Module
    score_name: str

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """All parameters of the network, in an order that follows from the configuration."""

    def compute_loss(self, draws: BatchDraws) -> LossTerms:
        """Draw a step's faces, augment and degrade them, run the network, compare.

        All that is random follows from ``draws``: the same again give the same loss, as long as
        the weights stay (and dropout, which draws from torch's global generator).
        """

    def validate(self, network: nn.Module, split: Split) -> Mapping[str, float]:
        """Score a network of the same architecture (the weight average) on held faces.

        Those of the split "validation" were never learnt from; as many of "train" were, and how
        much better they score is the measure of overfitting.
        """

    def preview(self, network: nn.Module) -> Tensor:
        """What the network makes of a few validation faces, for the eye.

        Returns:
            (faces, columns, 3, H, H) RGB around [0, 1].
        """
