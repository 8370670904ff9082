"""Multimodal Split Attention Fusion (III-D; Su et al. 2020, "MSAF")."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SplitAttention(nn.Module):
    """Weighs the channel blocks of several modalities against each other.

    Split: each modality's channels into blocks of C. Join: pooled blocks are summed to G, and
    Z = ReLU(BN(W G + b)). Highlight: one linear per block, softmax over all blocks of all
    modalities for each channel. Only pooled descriptors meet, so sizes may differ.

    Two things are ours. Su et al. pad channels that C does not divide; we refuse them. And a
    softmax over K blocks shrinks every feature to 1/K at the start, so the result is multiplied
    by K.

    Raises:
        ValueError: C does not divide a modality's channels, or C is less than `reduction`.
    """

    def __init__(
        self,
        modality_channels: Sequence[int],
        block_channels: int,
        *,
        reduction: int,
        block_dropout: float,
    ) -> None:
        super().__init__()
        for channels in modality_channels:
            if channels % block_channels:
                raise ValueError(
                    f"a modality has {channels} channels, which blocks of {block_channels} do not "
                    "divide; choose widths with a common divisor"
                )
        joint_channels = block_channels // reduction
        if joint_channels < 1:
            raise ValueError(
                f"blocks of {block_channels} channels cannot be reduced by {reduction}; choose "
                "wider modalities or a smaller reduction"
            )
        self.block_channels = block_channels
        self.block_dropout = block_dropout
        self.num_blocks = sum(channels // block_channels for channels in modality_channels)
        self.join = nn.Linear(block_channels, joint_channels)
        self.norm = nn.BatchNorm1d(joint_channels)
        # One linear per block, stacked: rows k C ... (k + 1) C belong to block k.
        self.highlight = nn.Linear(joint_channels, self.num_blocks * block_channels)

    def forward(self, modalities: Sequence[Tensor]) -> list[Tensor]:
        """Return the modalities, each channel multiplied by its attention.

        Args:
            modalities: (N, C_m, h_m, w_m) each, in the constructor's order. In training N must be
                at least 2, since the batch norm of pooled descriptors has nothing else to learn
                its statistics from (torch raises ValueError); in eval each item stands alone.

        Returns:
            The same shapes and dtypes.
        """
        # Descriptors are a few numbers an image: float32 throughout, whatever autocast says.
        with torch.autocast(modalities[0].device.type, enabled=False):
            dtype = self.join.weight.dtype
            pooled = torch.cat([m.mean(dim=(2, 3), dtype=dtype) for m in modalities], dim=1)
            blocks = pooled.unflatten(1, (self.num_blocks, self.block_channels))  # (N, K, C)
            kept = self._draw_kept_blocks(blocks)  # (N, K, 1)
            descriptor = (blocks * kept).sum(dim=1)  # G: (N, C)
            joint = torch.relu(self.norm(self.join(descriptor)))  # Z: (N, C / r)
            logits = self.highlight(joint).unflatten(1, (self.num_blocks, self.block_channels))
            attention = self.num_blocks * logits.softmax(dim=1) * kept  # (N, K, C)
        weights = attention.flatten(1).split([m.shape[1] for m in modalities], dim=1)
        return [
            m * w[:, :, None, None].to(m.dtype) for m, w in zip(modalities, weights, strict=True)
        ]

    def _draw_kept_blocks(self, blocks: Tensor) -> Tensor:
        # 0 for a dropped block, 1 / (1 - p) for a kept one, so that the expectation stays.
        if not self.training:
            return blocks.new_ones(1, self.num_blocks, 1)
        kept = blocks.new_ones(blocks.shape[0], self.num_blocks, 1)
        return nn.functional.dropout(kept, self.block_dropout)
