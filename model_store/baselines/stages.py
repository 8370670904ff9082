"""What a network with intermediate supervision gives besides its image."""

from dataclasses import dataclass

from torch import Tensor

from model_store.landmarks.ibug import IBUG_68

NUM_HEATMAPS = len(IBUG_68)


@dataclass(frozen=True)
class Stages:
    """Images and landmark heatmaps of N faces, stage by stage; each is compared with the truth.

    Attributes:
        images: (N, 3, scale h, scale w) RGB around [0, 1], not clamped; the last is the result.
        heatmaps: (N, 68, s, s), one channel for each of IBUG_68: a Gaussian of height 1 about the
            landmark, deviation 1 px of the heatmap.
    """

    images: tuple[Tensor, ...]
    heatmaps: tuple[Tensor, ...]
