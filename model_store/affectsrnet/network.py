"""AffectSRNet: the paper's figure 2 on one page. LR face and landmarks -> HR face.

Trunk and upsampling are ESRGAN's with InstanceNorm (III-B, IV-D); the landmark graph's embeddings
(III-C) are merged in three times by split attention (III-D).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_store.affectsrnet.config import AffectSRNetConfig
from model_store.affectsrnet.graph_map import PooledGraphMap, SplatGraphMap
from model_store.affectsrnet.landmark_gcn import NUM_COORDINATES, LandmarkGCN
from model_store.affectsrnet.projection import ConsistencyProjection
from model_store.affectsrnet.rrdb import LEAKY_SLOPE, RRDB
from model_store.affectsrnet.split_attention import SplitAttention
from model_store.landmarks.topology import LANDMARK_COUNT

# Names of the landmark branch's tensors begin so; all others are the backbone's.
LANDMARK_BRANCH_PREFIXES = ("gcn.", "merges.")
NUM_MERGES = 3  # "thrice" (III-C): behind the trunk, and behind the first two upsamplings


class AffectSRNet(nn.Module):
    """The super-resolution network.

    With `landmark_fusion` off it is the backbone alone. With it on, a fresh network gives exactly
    what its backbone gives, because each merge starts at zero.

    Attributes:
        config: what it was built from.
        gcn: landmarks (N, 478, 3) -> node embeddings (N, 478, gcn_features), for a loss to use by
            itself; None when `landmark_fusion` is off.
    """

    def __init__(self, config: AffectSRNetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.num_features
        self.conv_first = _conv3x3(3, width)
        self.body = nn.Sequential(
            *(
                RRDB(width, config.growth_channels, instance_norm=config.instance_norm)
                for _ in range(config.num_blocks)
            )
        )
        self.conv_body = _conv3x3(width, width)
        for stage in range(1, config.num_upsamplings + 1):
            self.add_module(f"conv_up{stage}", _conv3x3(width, width))
        self.conv_hr = _conv3x3(width, width)
        self.conv_last = _conv3x3(width, 3)

        self.projection: ConsistencyProjection | None = None
        if config.lr_consistency:
            self.projection = ConsistencyProjection(
                lr_size_px=config.lr_size_px, scale=config.scale
            )
        self.gcn: LandmarkGCN | None = None
        self.merges = nn.ModuleList()
        if config.landmark_fusion:
            self.gcn = LandmarkGCN(config.gcn_features, config.gcn_layers)
            self.merges.extend(LandmarkMerge(config) for _ in range(NUM_MERGES))

    def forward(self, lr: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """Upscale a batch of faces.

        Args:
            lr: (N, 3, h, w) RGB in [0, 1]; h = w = config.lr_size_px in training; without
                `lr_consistency` any size works.
            landmarks: (N, 478, 3), x and y in [0, 1] of the crop, z on x's scale; needed exactly
                when `config.landmark_fusion` is on.

        Returns:
            (N, 3, scale h, scale w) RGB around [0, 1], not clamped; float32 if lr is.

        Raises:
            ValueError: landmarks are missing, superfluous or of another shape than (N, 478, 3).
        """
        nodes = self._embed(lr, landmarks)

        features = self.conv_first((2 * lr - 1).to(self.conv_first.weight.dtype))
        features = features + self.conv_body(self.body(features))
        # From here on, in this memory format: a bf16 training step at x8 on a CPU then takes a
        # quarter less time, and no case that we measured takes more.
        features = features.contiguous(memory_format=torch.channels_last)
        features = self._merge(0, features, nodes, landmarks)
        for stage in range(1, self.config.num_upsamplings + 1):
            upsampled = _upsample_x2(features, mode=self.config.upsampling)
            features = _leaky_relu(self.get_submodule(f"conv_up{stage}")(upsampled))
            features = self._merge(stage, features, nodes, landmarks)
        residual: Tensor = self.conv_last(_leaky_relu(self.conv_hr(features)))

        sr = _upscale_bicubic(lr, scale=self.config.scale) + residual.to(lr.dtype)
        return sr if self.projection is None else self.projection(sr, lr)

    def _embed(self, lr: Tensor, landmarks: Tensor | None) -> Tensor | None:
        if self.gcn is None:
            if landmarks is not None:
                raise ValueError(
                    "landmarks were given to a network without landmark_fusion; leave them out"
                )
            return None
        if landmarks is None:
            raise ValueError("landmarks are missing; this network was built with landmark_fusion")
        expected = (lr.shape[0], LANDMARK_COUNT, NUM_COORDINATES)
        if landmarks.shape != expected:
            raise ValueError(f"landmarks are {tuple(landmarks.shape)}; they must be {expected}")
        nodes: Tensor = self.gcn(landmarks)
        return nodes

    def _merge(
        self, place: int, features: Tensor, nodes: Tensor | None, landmarks: Tensor | None
    ) -> Tensor:
        if nodes is None or place >= NUM_MERGES:
            return features
        merged: Tensor = self.merges[place](features, nodes, landmarks)
        return merged


class LandmarkMerge(nn.Module):
    """One of the three merges: image features meet the graph map and are added to (III-D).

    concat -> 1x1 conv -> added. The 1x1 conv starts at zero, so a fresh merge changes nothing (and
    at the very first step only this conv has a gradient).
    """

    def __init__(self, config: AffectSRNetConfig) -> None:
        super().__init__()
        self.graph_map: PooledGraphMap | SplatGraphMap
        if config.graph_map == "pooled":
            self.graph_map = PooledGraphMap(config.gcn_features, config.graph_map_channels)
        else:
            self.graph_map = SplatGraphMap(
                config.gcn_features, config.graph_map_channels, sigma=config.splat_sigma
            )
        self.attention = SplitAttention(
            (config.num_features, config.graph_map_channels),
            config.msaf_block_channels,
            reduction=config.msaf_reduction,
            block_dropout=config.msaf_block_dropout,
        )
        self.fuse = nn.Conv2d(
            config.num_features + config.graph_map_channels, config.num_features, kernel_size=1
        )
        for parameter in self.fuse.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, nodes: Tensor, landmarks: Tensor) -> Tensor:
        """Add to (N, num_features, h, w) what nodes (N, 478, F) say, laid out by landmarks."""
        height, width = features.shape[-2:]
        graph_map = self.graph_map(nodes, landmarks, height, width)
        graph_map = graph_map.to(features.dtype, memory_format=torch.channels_last)
        fused: Tensor = self.fuse(torch.cat(self.attention((features, graph_map)), dim=1))
        return features + fused


def _conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)


def _leaky_relu(features: Tensor) -> Tensor:
    return F.leaky_relu(features, LEAKY_SLOPE, inplace=True)


def _upsample_x2(features: Tensor, *, mode: str) -> Tensor:
    align_corners = False if mode == "bicubic" else None  # torch forbids the argument for nearest
    return F.interpolate(features, scale_factor=2, mode=mode, align_corners=align_corners)


def _upscale_bicubic(lr: Tensor, *, scale: int) -> Tensor:
    # The global skip (IV-B), neither rounded nor clamped.
    return F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)
