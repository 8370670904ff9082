"""Distance of node embeddings: do the landmarks of the SR face stand as those of the HR face do?

The third loss of III-E. Where the paper runs MediaPipe, which has no gradient, the published
Landmarker reads both images, so that the term reaches the SR image. It looks at 32 x 32 px, which
at x4 is the size of the input: on 16 FFHQ faces the landmarks of affectsrnet-x4@1's results differ
from the originals' by an NME of 0.0002, at x8 by 0.011. At k4 = 0.1 the gradient that reaches the
image is 0.0002 of the L1 distance's at x4, and 0.008 of it at x8.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from model_store.landmarks.landmarker import Landmarker

Embedder = Callable[[Tensor], Tensor]
"""(N, 478, 3) landmarks -> (N, 478, F) node embeddings."""


class NodeDistance:
    """Mean over nodes of the squared distance between embeddings, per face.

    Both images are read by the same landmarker, so that equal images have no distance, whatever
    errors it makes; and nothing stands in for landmarks that it is not sure of, because a mean
    face would have no gradient.
    """

    def __init__(self, landmarker: Landmarker, embed: Embedder) -> None:
        """Compare what ``embed`` makes of the landmarks; the landmarker is frozen, in eval mode."""
        self._landmarker = landmarker
        self._embed = embed

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare N pairs (N, 3, H, W) in [0, 1]; (N,), in float32. Only ``sr`` gets a gradient."""
        with torch.autocast(sr.device.type, enabled=False):
            with torch.no_grad():
                wanted = self._embed(self._landmarker(hr).landmarks)
            found = self._embed(self._landmarker(sr).landmarks)
            distance: Tensor = (found - wanted).square().sum(2).mean(1)
        return distance


def embed_by_coordinates(landmarks: Tensor) -> Tensor:
    """Take the coordinates for embeddings: the plain landmark distance."""
    return landmarks


def embed_by(gcn: nn.Module) -> Embedder:
    """Embed by a graph network as it stands at the time of each call, without training it.

    A graph network that learnt from the distance could lower it by shrinking its embeddings.
    """

    def embed(landmarks: Tensor) -> Tensor:
        weights = {name: parameter.detach() for name, parameter in gcn.named_parameters()}
        embeddings: Tensor = functional_call(gcn, weights, (landmarks,))
        return embeddings

    return embed
