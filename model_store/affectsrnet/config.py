"""The switches and widths from which an AffectSRNet is built; a manifest stores them by name."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

HR_SIZE_PX = 128  # side of the aligned faces that the network is trained to give (IV-A)
SCALES = (4, 8)


@dataclass(frozen=True, kw_only=True)
class AffectSRNetConfig:
    """Everything that decides AffectSRNet's parameters and arithmetic.

    Raises:
        ValueError: a value is outside what the network can be built with.

    Attributes:
        scale: 4 (32 px -> 128 px) or 8 (16 px -> 128 px).
        num_features: channels of the trunk (ESRGAN: 64).
        growth_channels: channels that each conv of a dense block adds (ESRGAN: 32).
        num_blocks: RRDBs in the trunk; 8, where ESRGAN has 23.
        instance_norm: InstanceNorm after every conv of the dense blocks (IV-D; Table III's row 2).
        landmark_fusion: the landmark graph and its three merges (III-C, III-D; Table III's row 3).
        graph_map: how node embeddings become a map: "pooled" is the literal reading of "upscaled"
            and keeps no place; "splat" lays each node at its (x, y).
        upsampling: x2 steps by "nearest" (ESRGAN's, which the starting weights have) or by
            "bicubic" (IV-B).
        lr_consistency: end with the projection onto the images whose bicubic reduction is the input
            (see projection.py); not in the paper.
        gcn_features: width of the node embeddings.
        gcn_layers: graph convolutions, one behind the other.
        graph_map_channels: channels of the map that meets the image features.
        splat_sigma: standard deviation of a node's Gaussian in crop units (0.03 is about 4 px of
            128, and about the median length of the graph's edges on aligned faces).
        msaf_reduction: r of III-D, by which the joint representation is narrower than a block.
        msaf_block_dropout: share of the blocks dropped in training (Su et al. 2020).
    """

    architecture: ClassVar[str] = "affectsrnet"

    scale: int
    num_features: int = 64
    growth_channels: int = 32
    num_blocks: int = 8
    instance_norm: bool = True
    landmark_fusion: bool = True
    graph_map: Literal["pooled", "splat"] = "splat"
    upsampling: Literal["nearest", "bicubic"] = "nearest"
    lr_consistency: bool = False
    gcn_features: int = 64
    gcn_layers: int = 4
    graph_map_channels: int = 32
    splat_sigma: float = 0.03
    msaf_reduction: int = 4
    msaf_block_dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ValueError(f"scale is {self.scale}; it must be one of {SCALES}")
        if self.graph_map not in ("pooled", "splat"):
            raise ValueError(f"graph_map is {self.graph_map!r}; it must be 'pooled' or 'splat'")
        if self.upsampling not in ("nearest", "bicubic"):
            raise ValueError(
                f"upsampling is {self.upsampling!r}; it must be 'nearest' or 'bicubic'"
            )
        for name in _COUNTS:
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        if self.splat_sigma <= 0:
            raise ValueError(f"splat_sigma is {self.splat_sigma}; it must be above 0 crop units")
        if not 0 <= self.msaf_block_dropout < 1:
            raise ValueError(
                f"msaf_block_dropout is {self.msaf_block_dropout}; it must be in [0, 1)"
            )

    @property
    def lr_size_px(self) -> int:
        """Side of the LR face that the network is trained on."""
        return HR_SIZE_PX // self.scale

    @property
    def num_upsamplings(self) -> int:
        """Stages of x2: two at x4, three at x8."""
        return self.scale.bit_length() - 1

    @property
    def msaf_block_channels(self) -> int:
        """C of III-D: the widest block that divides the channels of both modalities."""
        return math.gcd(self.num_features, self.graph_map_channels)


_COUNTS = (
    "num_features",
    "growth_channels",
    "num_blocks",
    "gcn_features",
    "gcn_layers",
    "graph_map_channels",
    "msaf_reduction",
)
