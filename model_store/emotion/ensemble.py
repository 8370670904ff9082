"""Several readings of an expression as one: of several classifiers, of the mirrored face besides.

What is averaged are logits, each classifier's calibrated by itself. They are linear in its
features, so their mean is linear in all features side by side: the ensemble is a classifier like
any other, whose features are its members'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from model_store.emotion.classifier import EmotionClassifier


@dataclass(frozen=True, kw_only=True)
class EmotionEnsembleConfig:
    """Which classifiers an ensemble has, and what they are shown.

    Attributes:
        members: Of each its architecture and its configuration: at least two, or one that reads
            mirrored faces besides.
        mirrored: Whether each reads the face's mirror image as well, for twice the time. A mirrored
            face shows the same expression; what differs in the two readings is error.
    """

    architecture: ClassVar[str] = "emotion_ensemble"

    members: tuple[tuple[str, dict[str, object]], ...]
    mirrored: bool = False

    def __post_init__(self) -> None:
        least = 1 if self.mirrored else 2
        if len(self.members) < least:
            raise ValueError(
                f"members are {len(self.members)}; an ensemble has at least two, or one that reads "
                "mirrored faces besides"
            )


class EmotionEnsemble(EmotionClassifier):
    """Classifiers whose calibrated logits are averaged, over faces and their mirror images.

    Args:
        config: Says what the members are.
        members: The classifiers, built as ``config`` says. They become the ensemble's parts, and
            their own last layers the ensemble's.

    Attributes:
        members: The classifiers without their last layers: each gives its features.
    """

    def __init__(self, config: EmotionEnsembleConfig, members: Sequence[EmotionClassifier]) -> None:
        super().__init__(sum(member.classes.in_features for member in members))
        self.config = config
        with torch.no_grad():
            share = 1 / len(members)
            scaled = [(share / member.temperature, member.classes) for member in members]
            self.classes.weight.copy_(torch.cat([f * last.weight for f, last in scaled], dim=1))
            self.classes.bias.copy_(sum((f * last.bias for f, last in scaled), torch.zeros(())))
        for member in members:
            member.classes = nn.Identity()  # type: ignore[assignment]  # gives the features
            del member.temperature
        self.members = nn.ModuleList(members)

    def features(self, crops: Tensor) -> Tensor:
        """Describe the expressions in (N, 3, 112, 112) RGB crops in [0, 1].

        Returns:
            (N, F), the members' features side by side, unbounded; the mean of both readings where
            mirrored ones are read.

        Raises:
            ValueError: the crops are of another shape.
        """
        if not self.config.mirrored:
            return self._read(crops)
        # One batch of both: half as many calls, each of which uses the device better.
        plain, mirrored = self._read(torch.cat([crops, crops.flip(-1)])).chunk(2)
        return (plain + mirrored) / 2

    def _read(self, crops: Tensor) -> Tensor:
        return torch.cat([member(crops) for member in self.members], dim=1)
