"""Distance of expressions, by the features of a network that was trained to tell them apart.

Not in the paper. A result is not to be judged by this network alone once it was trained on it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model_store.emotion.alignment import align_expression_crops
from model_store.emotion.classifier import EmotionClassifier


def expression_distance(
    classifier: EmotionClassifier, sr: Tensor, hr: Tensor, *, landmarks: Tensor
) -> Tensor:
    """Squared distance of the features of N pairs, each scaled to unit length: (N,) in [0, 4].

    Both are aligned by the same landmarks, so that what differs is the face and not its frame. In
    float32 or better, outside autocast. Only ``sr`` gets a gradient.

    Args:
        classifier: Frozen, in eval mode.
        sr: (N, 3, H, W) RGB around [0, 1].
        hr: (N, 3, H, W) RGB in [0, 1].
        landmarks: (N, 478, 3) of the HR face.
    """
    with torch.autocast(sr.device.type, enabled=False):
        frame = landmarks.detach()
        with torch.no_grad():
            wanted = F.normalize(classifier.features(align_expression_crops(hr, frame)), dim=1)
        found = F.normalize(classifier.features(align_expression_crops(sr, frame)), dim=1)
        distance: Tensor = (found - wanted).square().sum(1)
    return distance
