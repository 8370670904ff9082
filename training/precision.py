"""In which precision a network's forward pass runs."""

import torch

from training.config import Precision


def forward_autocast(device: torch.device, *, precision: Precision) -> torch.autocast:
    """Context for a forward pass: bfloat16 autocast, or none.

    Only the network belongs inside: resampling and blurring of images need float32.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
