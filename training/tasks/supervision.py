"""What FSRNet and DIC are told about their intermediate images and heatmaps."""

import torch
from torch import Tensor

from model_store.baselines.dic import DIC
from model_store.baselines.fsrnet import FSRNet
from model_store.baselines.stages import Stages
from training.data.heatmaps import draw_heatmaps
from training.losses.terms import LossTerms

StagedNetwork = FSRNet | DIC
"""A network whose intermediate outputs are supervised."""

# lambda of the authors' published options: mean squared error of the heatmaps against the mean
# absolute error of the images.
_DIC_HEATMAP_WEIGHT = 0.1


def supervise_stages(
    network: StagedNetwork, stages: Stages, *, hr: Tensor, landmarks: Tensor
) -> LossTerms:
    """Compare all but the last image with the original, and the heatmaps with the landmarks.

    The last image is left to the loss that every network is trained with. That loss is an absolute
    error where the papers square theirs (FSRNet), so images are compared by absolute errors here
    too, each stage as strongly as the last.

    Args:
        network: Decides the weights.
        stages: What it gave of N faces.
        hr: (N, 3, 128, 128) originals in [0, 1].
        landmarks: (N, 478, 3) teacher landmarks of them.
    """
    image_error = torch.stack([(i.float() - hr).abs().mean() for i in stages.images[:-1]]).sum()
    targets = draw_heatmaps(landmarks, side_px=stages.heatmaps[0].shape[-1])
    squared = [(h.float() - targets).square().mean() for h in stages.heatmaps]
    heatmap_error = torch.stack(squared).sum()
    weight = _DIC_HEATMAP_WEIGHT
    if isinstance(network, FSRNet):
        # Its alpha and beta are 1: a heatmap's value counts as much as a colour's (section 3).
        weight = targets[0].numel() / hr[0].numel()
    terms = {"stage_l1": image_error.detach(), "heatmap_mse": heatmap_error.detach()}
    return LossTerms(image_error + weight * heatmap_error, terms)
