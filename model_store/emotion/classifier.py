"""What every expression classifier is: aligned crops in, seven classes out, calibrated when asked.

The metric of the paper's section III-A compares softmax probabilities, so they are what is
calibrated; training works on the logits.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

EMOTIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry")
"""The classes by index, in the order of DDAMFN's public code."""

CROP_PX = 112
"""Side of the aligned crops that are classified."""


class EmotionClassifier(nn.Module, ABC):
    """Base of the networks that tell expressions apart; pixels are normalised inside of them.

    Attributes:
        classes: From the features to the logits.
        temperature: Scalar buffer, above 0: divides the logits before the softmax. Fitted after
            training on faces that were not trained on; 1 until then.
    """

    temperature: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.classes = nn.Linear(num_features, len(EMOTIONS))
        self.register_buffer("temperature", torch.ones(()))

    @abstractmethod
    def features(self, crops: Tensor) -> Tensor:
        """Describe the expressions in (N, 3, 112, 112) RGB crops in [0, 1]: (N, F), unbounded."""

    def forward(self, crops: Tensor) -> Tensor:
        """Classify (N, 3, 112, 112) RGB crops in [0, 1]: (N, 7) logits, not calibrated."""
        logits: Tensor = self.classes(self.features(crops))
        return logits

    def probabilities(self, crops: Tensor) -> Tensor:
        """Classify (N, 3, 112, 112) RGB crops in [0, 1]: (N, 7) float32 rows that sum to 1."""
        logits: Tensor = self(crops)
        return (logits.float() / self.temperature.float()).softmax(1)


def require_crops(crops: Tensor) -> None:
    """Refuse what are no aligned crops.

    Raises:
        ValueError: the shape is not (N, 3, 112, 112).
    """
    if crops.shape[1:] != (3, CROP_PX, CROP_PX):
        raise ValueError(
            f"crops are {tuple(crops.shape)}; they must be (N, 3, {CROP_PX}, {CROP_PX}), as "
            "align_expression_crops gives them"
        )
