"""The exponential moving average of a network's weights, which is what gets published."""

import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """Averages parameters and floating-point buffers after each step.

    The decay rises from 0.1 with the steps taken, so that a short run is not dominated by its
    first weights.
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, *, step: int) -> None:
        """Take the weights after ``step`` (from 1) into the average."""
        decay = min(self._decay, (1 + step) / (10 + step))
        current = network.state_dict()
        for key, average in self.network.state_dict().items():
            if average.dtype.is_floating_point:
                average.lerp_(current[key].to(average.dtype), 1 - decay)
            else:
                average.copy_(current[key])

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged weights."""
        return dict(self.network.state_dict())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from averaged weights."""
        self.network.load_state_dict(state)
