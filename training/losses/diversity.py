"""The term that keeps the attention heads of DDAMFN apart."""

from itertools import combinations

import torch
from torch import Tensor

# Of the authors' public code: heads that agree everywhere cost much, but not infinitely much.
_EPSILON = 1e-8


def head_diversity(attentions: Tensor) -> Tensor:
    """One over the mean squared difference of the heads' maps, over all pairs (section 3.3).

    Args:
        attentions: (H, N, F, h, w) in (0, 1) of at least two heads.

    Raises:
        ValueError: there is one head only.
    """
    if len(attentions) < 2:
        raise ValueError(f"{len(attentions)} heads cannot differ; diversity_weight needs two")
    pairs = combinations(attentions.float(), 2)
    squared = torch.stack([(one - other).square().mean() for one, other in pairs])
    return 1 / (squared.mean() + _EPSILON)
