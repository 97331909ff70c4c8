"""SVTRv2's feature rearranging module: a map of features to one row of them, in the order in which
they are read.

CTC needs features whose order is that of the characters. In bent or slanted text it is not that of
the columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from strhub.models.layers.vision_transformer import MLP
from strhub.models.svtr.layers import SingleAttention


class FeatureRearrangement(nn.Module):
    """First along each row, then down each column."""

    def __init__(self, *, embed_dim: int, mlp_ratio: float) -> None:
        super().__init__()
        self.horizontal = SingleAttention(embed_dim)
        self.norm1 = nn.LayerNorm(embed_dim)
        self.mlp = MLP(embed_dim=embed_dim, hidden_dim=int(embed_dim * mlp_ratio))
        self.norm2 = nn.LayerNorm(embed_dim)
        self.selecting_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.vertical = SingleAttention(embed_dim)
        nn.init.trunc_normal_(self.selecting_token, std=0.02)

    def forward(self, features: Tensor, padding: Tensor | None) -> Tensor:
        """Map features (B, H, W, D) to a sequence (B, W, D). padding: (B, W), or None."""
        height, width = features.shape[1:3]
        rows = features.flatten(0, 1)  # (B * H, W, D)
        hidden = None if padding is None else padding.repeat_interleave(height, 0)  # (B * H, W)
        rows = self.norm1(rows + self.horizontal(rows, rows, hidden))
        rows = self.norm2(rows + self.mlp(rows))
        columns = rows.unflatten(0, (-1, height)).transpose(1, 2).flatten(0, 1)  # (B * W, H, D)
        chosen = self.vertical(
            self.selecting_token.expand(columns.shape[0], -1, -1), columns
        )  # (B * W, 1, D)
        return chosen.view(-1, width, chosen.shape[-1])  # (B, W, D)
