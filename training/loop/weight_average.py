"""The exponential moving average of a network's weights, which is what gets published."""

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """Averages a network's parameters and floating-point buffers after each step.

    The decay rises from 0.1 with the steps taken, so that a short run is not dominated by its
    first weights. Lists of tensors instead of state dicts: on a GPU that is a few launches a step
    instead of hundreds.
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay
        # Both hold: optimizers and load_state_dict change tensors in place.
        pairs = list(
            zip(self.network.state_dict().values(), network.state_dict().values(), strict=True)
        )
        self._averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, *, step: int) -> None:
        """Take the network's weights after ``step`` (from 1) into the average."""
        decay = min(self._decay, (1 + step) / (10 + step))
        averages, currents = ([pair[side] for pair in self._averaged] for side in (0, 1))
        get_ema_multi_avg_fn(decay)(averages, currents, step)
        for average, current in self._copied:
            average.copy_(current)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged weights."""
        return dict(self.network.state_dict())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from averaged weights."""
        self.network.load_state_dict(state)
