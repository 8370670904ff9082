"""The landmark graph's network: 478 landmarks -> 478 embeddings (III-C)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_store.affectsrnet.rrdb import LEAKY_SLOPE
from model_store.landmarks.topology import FACE_EDGES, LANDMARK_COUNT, normalized_adjacency

NUM_COORDINATES = 3


class LandmarkGCN(nn.Module):
    """Graph convolutions of Kipf and Welling (2017) over the face's fixed edges.

    H' = act(D^-1/2 (A + I) D^-1/2 H W), with W shared by all nodes. The paper names neither widths
    nor the activation; ours is the backbone's LeakyReLU, and the last layer has none, so that
    embeddings may be negative.

    Usable by itself: the node-embedding loss compares `network.gcn(sr_landmarks)` with
    `network.gcn(hr_landmarks)`.
    """

    adjacency: Tensor

    def __init__(self, num_features: int, num_layers: int) -> None:
        super().__init__()
        widths = [NUM_COORDINATES] + [num_features] * num_layers
        self.layers = nn.ModuleList(
            _node_linear(widths[i], widths[i + 1]) for i in range(num_layers)
        )
        # Derived from the edge list, hence no part of the weights.
        self.register_buffer(
            "adjacency", normalized_adjacency(FACE_EDGES, LANDMARK_COUNT), persistent=False
        )

    def forward(self, landmarks: Tensor) -> Tensor:
        """Embed every landmark in the light of its neighbours.

        Args:
            landmarks: (N, 478, 3) float; x, y in [0, 1] of the crop, z on x's scale.

        Returns:
            (N, 478, num_features), in the weights' dtype. Computed outside autocast: it costs
            little, and what an expression moves is small beside what bf16 rounds off.
        """
        with torch.autocast(landmarks.device.type, enabled=False):
            centre = landmarks.new_tensor((0.5, 0.5, 0.0))
            nodes = (2 * (landmarks - centre)).to(self.adjacency.dtype)  # x, y in [-1, 1]
            last = len(self.layers) - 1
            for i, layer in enumerate(self.layers):
                # A first, then W: the first layer then mixes 3 numbers a node instead of F.
                nodes = layer(torch.matmul(self.adjacency, nodes))
                if i < last:
                    nodes = F.leaky_relu(nodes, LEAKY_SLOPE)
            return nodes


def _node_linear(in_features: int, out_features: int) -> nn.Linear:
    layer = nn.Linear(in_features, out_features)
    nn.init.xavier_uniform_(layer.weight)  # Glorot's, as Kipf and Welling have it
    nn.init.zeros_(layer.bias)
    return layer
