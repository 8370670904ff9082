"""From node embeddings to a feature map: the two readings of "the embeddings are upscaled" (III-C).

Both are called with the same arguments and give (N, num_channels, h, w), one per merge.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POOLED_SIZE = 4  # side of the small map that the pooled embedding is spread over before upscaling
# Added to the nodes' summed weight, so the map fades to zero where that is less: a lone node's does
# so three standard deviations away, and where it lies 1 % is lost.
SPLAT_FADE = 1e-2
# Standard deviations behind which a node's weight falls no further: it is 1.5e-8 there, far under
# SPLAT_FADE even 478 times. The true tail's denormal numbers made the whole landmark branch take
# 20 times as long on a CPU.
SPLAT_REACH = 6.0


class PooledGraphMap(nn.Module):
    """The literal reading: mean over nodes -> linear -> small map -> upscaled -> 1x1 conv.

    What a place of the map holds does not depend on where the landmarks of that place lie.
    """

    def __init__(self, node_features: int, num_channels: int) -> None:
        super().__init__()
        self.num_channels = num_channels
        self.spread = nn.Linear(node_features, num_channels * POOLED_SIZE**2)
        self.project = nn.Conv2d(num_channels, num_channels, kernel_size=1)

    def forward(self, nodes: Tensor, landmarks: Tensor, height: int, width: int) -> Tensor:
        """Make the map; `landmarks` is taken for the likeness to SplatGraphMap and not read.

        Args:
            nodes: (N, 478, node_features).
            landmarks: (N, 478, 3).
            height: of the map, in px of its stage.
            width: likewise.
        """
        pooled = self.spread(nodes.mean(dim=1)).unflatten(1, (-1, POOLED_SIZE, POOLED_SIZE))
        upscaled = F.interpolate(pooled, (height, width), mode="bilinear", align_corners=False)
        graph_map: Tensor = self.project(upscaled)
        return graph_map


class SplatGraphMap(nn.Module):
    """The geometric reading: each node's embedding lies at its (x, y), blurred by a Gaussian.

    A place's value is the mean of the projected embeddings, weighted by each node's Gaussian there,
    and fades to zero far from every node.
    """

    def __init__(self, node_features: int, num_channels: int, *, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma
        self.project = nn.Linear(node_features, num_channels)

    def forward(self, nodes: Tensor, landmarks: Tensor, height: int, width: int) -> Tensor:
        """Lay the nodes on the grid.

        Args:
            nodes: (N, 478, node_features).
            landmarks: (N, 478, 3); x and y in [0, 1] of the crop, z is not read.
            height: of the map, in px of its stage; any size, for sigma is in crop units.
            width: likewise.

        Returns:
            (N, num_channels, height, width); bf16 under autocast, where only the Gaussians
            themselves are still computed in float32.
        """
        values = self.project(nodes)  # (N, V, C)
        along_x = self._weights(landmarks[..., 0], width).to(values.dtype)  # (N, V, w)
        along_y = self._weights(landmarks[..., 1], height).to(values.dtype)  # (N, V, h)
        # The Gaussian is separable, so y can be folded into the values and x be a batched
        # matmul: (N, C h, V) (N, V, w). No tensor ever holds V x h x w numbers.
        rows = values.transpose(1, 2).unsqueeze(2) * along_y.transpose(1, 2).unsqueeze(1)
        summed = torch.bmm(rows.flatten(1, 2), along_x)  # (N, C h, w)
        weight = torch.bmm(along_y.transpose(1, 2), along_x)  # (N, h, w)
        per_channel = summed.reshape(-1, values.shape[2], height, width)
        return per_channel / (weight + SPLAT_FADE).unsqueeze(1)

    def _weights(self, positions: Tensor, size: int) -> Tensor:
        # (N, V) -> (N, V, size): the Gaussian's height at the centre of each of `size` px.
        centres = (torch.arange(size, device=positions.device, dtype=torch.float32) + 0.5) / size
        squared = ((centres - positions.float().unsqueeze(-1)) / self.sigma).square()
        return torch.exp(-0.5 * squared.clamp(max=SPLAT_REACH**2))
