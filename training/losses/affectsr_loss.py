"""AffectSRLoss: the paper's loss (III-E, eq. 2) for any super-resolution network."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from model_store.emotion.classifier import EmotionClassifier
from training.config import LossConfig
from training.losses.expression import expression_distance
from training.losses.nodes import NodeDistance
from training.losses.pixels import (
    expressive_regions,
    l1_distance,
    log_squared_error,
    region_distance,
)
from training.losses.terms import LossTerms
from training.perceptual.gram import gram_distance
from training.perceptual.lpips import Lpips
from training.perceptual.vgg16 import CaffeVgg16

_PIXEL_DISTANCES = {"l1": l1_distance, "psnr": log_squared_error}


@dataclass(frozen=True, kw_only=True)
class LossNetworks:
    """The frozen networks by which a loss compares; None where no term asks for one.

    Attributes:
        lpips: For the perceptual term, unless that is by VGG16.
        vgg16: For the Gram term, and the perceptual one if that is by VGG16.
        nodes: For the node-embedding term.
        expression: For the expression term.
    """

    lpips: Lpips | None = None
    vgg16: CaffeVgg16 | None = None
    nodes: NodeDistance | None = None
    expression: EmotionClassifier | None = None


class AffectSRLoss:
    """A weighted sum of distances between an SR and an HR image.

    It knows images and landmarks only, so that it trains any network. Every term is a mean over
    faces: the mean of the losses of equal shares of a batch is the loss of the batch. A term of
    weight 0 is not computed.
    """

    def __init__(self, config: LossConfig, networks: LossNetworks) -> None:
        """Compare as ``config`` says.

        Raises:
            ValueError: a term has a weight, but not the network that it needs.
        """
        self._config = config
        self._lpips = networks.lpips if config.needs_lpips else None
        self._vgg16 = networks.vgg16 if config.needs_vgg16 else None
        self._nodes = networks.nodes if config.node_weight > 0 else None
        self._expression = networks.expression if config.expression_weight > 0 else None
        needed = {
            "lpips": (config.needs_lpips, self._lpips),
            "vgg16": (config.needs_vgg16, self._vgg16),
            "nodes": (config.node_weight > 0, self._nodes),
            "expression": (config.expression_weight > 0, self._expression),
        }
        missing = [name for name, (is_needed, given) in needed.items() if is_needed and not given]
        if missing:
            raise ValueError(f"the loss has terms without their networks: {', '.join(missing)}")

    def __call__(self, sr: Tensor, hr: Tensor, *, landmarks: Tensor) -> LossTerms:
        """Compare N faces; may be called under autocast.

        VGG16 follows autocast; all other networks and every sum are in float32 or better.

        Args:
            sr: (N, 3, H, W) RGB around [0, 1], not clamped, float32 or better.
            hr: (N, 3, H, W) RGB in [0, 1].
            landmarks: (N, 478, 3) of the HR face, for the mask of its regions and the expression's
                frame.

        Returns:
            The total, and the mean of each distance under its name, before weighting.
        """
        total = sr.new_zeros(())
        terms: dict[str, Tensor] = {}
        for name, weight, distances in self._compare(sr, hr, landmarks):
            mean = distances.mean()
            total = total + weight * mean
            terms[name] = mean.detach()
        return LossTerms(total, terms)

    def _compare(
        self, sr: Tensor, hr: Tensor, landmarks: Tensor
    ) -> Iterator[tuple[str, float, Tensor]]:
        """Name, weight and (N,) distances of each term that has a weight, in the paper's order."""
        config = self._config
        if config.pixel_weight > 0:
            yield config.pixel, config.pixel_weight, _PIXEL_DISTANCES[config.pixel](sr, hr)
        if self._lpips is not None:
            yield config.perceptual, config.perceptual_weight, self._lpips(sr, hr)
        if self._vgg16 is not None:
            yield from self._compare_features(self._vgg16, sr, hr)
        if self._nodes is not None:
            yield "nodes", config.node_weight, self._nodes(sr, hr)
        if self._expression is not None:
            distances = expression_distance(self._expression, sr, hr, landmarks=landmarks)
            yield "expression", config.expression_weight, distances
        if config.region_weight > 0:
            mask = expressive_regions(landmarks, height=hr.shape[2], width=hr.shape[3])
            yield "regions", config.region_weight, region_distance(sr, hr, mask)

    def _compare_features(
        self, vgg16: CaffeVgg16, sr: Tensor, hr: Tensor
    ) -> Iterator[tuple[str, float, Tensor]]:
        """The two terms by VGG16, over features that are computed once; stages are summed."""
        config = self._config
        with torch.no_grad():
            wanted = vgg16(hr)
        pairs = list(zip(vgg16(sr), wanted, strict=True))
        if config.perceptual == "vgg16" and config.perceptual_weight > 0:
            distances = [_mean_square(found, reference) for found, reference in pairs]
            yield "vgg16", config.perceptual_weight, torch.stack(distances).sum(0)
        if config.gram_weight > 0:
            distances = [gram_distance(found, reference) for found, reference in pairs]
            yield "gram", config.gram_weight, torch.stack(distances).sum(0)


def _mean_square(features: Tensor, references: Tensor) -> Tensor:
    """Mean squared difference of N pairs of (N, C, h, w) features, (N,), in float32 or better."""
    dtype = torch.promote_types(features.dtype, torch.float32)
    difference = features.to(dtype) - references.to(dtype)
    return difference.square().mean((1, 2, 3))
