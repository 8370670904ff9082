"""Coordinate attention: what each row and each column of a map tells of a channel's weight there.

Hou, Zhou, Feng: "Coordinate Attention for Efficient Mobile Network Design" (arXiv:2103.02907),
section 3.2, equations 4 to 8.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_REDUCTION = 32
_MIN_REDUCED = 8


class StripGates(nn.Module):
    """From one value for each row and one for each column to a gate for each place (eq. 6 to 8).

    Rows and columns share the reduction to C / 32 (at least 8) channels and part afterwards.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        reduced = max(_MIN_REDUCED, channels // _REDUCTION)
        self.reduce = nn.Conv2d(channels, reduced, 1)
        self.norm = nn.BatchNorm2d(reduced)
        self.row_gate = nn.Conv2d(reduced, channels, 1)
        self.column_gate = nn.Conv2d(reduced, channels, 1)

    def forward(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Gate rows (N, C, h, 1) against columns (N, C, 1, w): (N, C, h, w), each in (0, 1)."""
        strip = torch.cat([rows, columns.transpose(2, 3)], dim=2)  # (N, C, h + w, 1)
        strip = F.hardswish(self.norm(self.reduce(strip)))
        of_rows, of_columns = strip.split([rows.shape[2], columns.shape[3]], dim=2)
        row_gate: Tensor = self.row_gate(of_rows).sigmoid()
        column_gate: Tensor = self.column_gate(of_columns).sigmoid()
        return row_gate * column_gate.transpose(2, 3)


class CoordinateAttention(nn.Module):
    """Multiplies each place of a map by a gate from the means of its row and of its column."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gates = StripGates(channels)

    def forward(self, features: Tensor) -> Tensor:
        rows = features.mean(3, keepdim=True)
        columns = features.mean(2, keepdim=True)
        gated: Tensor = features * self.gates(rows, columns)
        return gated
