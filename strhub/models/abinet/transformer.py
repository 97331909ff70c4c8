"""Parts of ABINet's two transformers: positions and post-norm units (Vaswani et al. 2017).

In and out: tokens (B, L, D). Parameters are named as in torch's `TransformerEncoderLayer` and
`TransformerDecoderLayer`, the naming of the published weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from strhub.models.layers.attention import MultiHeadAttention

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


class Estimate(NamedTuple):
    """What one part of the model thinks of a text: features (B, T, D) and logits (B, T,
    charset_size + 1).
    """

    features: Tensor
    logits: Tensor


class PositionalEncoding(nn.Module):
    """Fixed sinusoids, added to tokens (section 3.5 of Vaswani et al.)."""

    def __init__(self, *, length: int, embed_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        wavelengths = torch.exp(torch.arange(0, embed_dim, 2) * (-math.log(10000.0) / embed_dim))
        angles = torch.arange(length).unsqueeze(1) * wavelengths  # (L, D / 2)
        table = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(
            1
        )  # (L, D / 2, 2) -> (L, D)
        self.pe: Tensor
        self.register_buffer("pe", table.unsqueeze(1))  # (L, 1, D), as published files hold it
        self.dropout = nn.Dropout(dropout)

    def table(self) -> Tensor:
        """Return the encoding alone, (L, D)."""
        return self.pe.squeeze(1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D)."""
        return self.dropout(tokens + self.table())


class UnitSizes(NamedTuple):
    """Sizes that all units of a transformer share."""

    embed_dim: int
    num_heads: int
    hidden_dim: int
    dropout: float
    activation: str

    def attention(self) -> MultiHeadAttention:
        """Return a new attention layer of these sizes."""
        return MultiHeadAttention(
            embed_dim=self.embed_dim, num_heads=self.num_heads, dropout=self.dropout
        )


class FeedForward(nn.Module):
    """What every unit has: two linear layers with an activation between."""

    def __init__(self, sizes: UnitSizes) -> None:
        super().__init__()
        if sizes.activation not in _ACTIVATIONS:
            raise ValueError(
                f"activation is {sizes.activation!r}: it must be one of {', '.join(_ACTIVATIONS)}"
            )
        self.activation = _ACTIVATIONS[sizes.activation]
        self.linear1 = nn.Linear(sizes.embed_dim, sizes.hidden_dim)
        self.linear2 = nn.Linear(sizes.hidden_dim, sizes.embed_dim)
        self.dropout = nn.Dropout(sizes.dropout)

    def feed_forward(self, tokens: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        return self.linear2(self.dropout(self.activation(self.linear1(tokens))))


class EncoderUnit(FeedForward):
    """Self-attention and feed-forward, each with a residual and then a norm."""

    def __init__(self, sizes: UnitSizes) -> None:
        super().__init__(sizes)
        self.self_attn = sizes.attention()
        self.norm1 = nn.LayerNorm(sizes.embed_dim)
        self.norm2 = nn.LayerNorm(sizes.embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        tokens = self.norm1(tokens + self.dropout(self.self_attn(tokens, tokens)))
        return self.norm2(tokens + self.dropout(self.feed_forward(tokens)))


class ClozeUnit(FeedForward):
    """Attention of positions to characters and feed-forward, each with a residual and then a norm
    (figure 4).

    self_attention: positions also attend to each other first. The paper leaves it out: over several
    units it would let a position see its own character.
    """

    def __init__(self, sizes: UnitSizes, *, self_attention: bool = False) -> None:
        super().__init__(sizes)
        self.self_attn = sizes.attention() if self_attention else None
        self.norm1 = nn.LayerNorm(sizes.embed_dim) if self_attention else None
        self.multihead_attn = sizes.attention()
        self.norm2 = nn.LayerNorm(sizes.embed_dim)
        self.norm3 = nn.LayerNorm(sizes.embed_dim)

    def forward(self, query: Tensor, content: Tensor, visible: Tensor, mask: Tensor) -> Tensor:
        """Map positions (B, T, D) over characters (B, T, D), to (B, T, D).

        visible: bool, (B, 1, 1, T), characters up to the end of the text; mask: bool, (B, 1, T, T),
        true where a position may see a character.
        """
        if self.self_attn is not None and self.norm1 is not None:
            query = self.norm1(query + self.dropout(self.self_attn(query, query, visible)))
        query = self.norm2(query + self.dropout(self.multihead_attn(query, content, mask)))
        return self.norm3(query + self.dropout(self.feed_forward(query)))


class Stack(nn.Module):
    """Units one after the other; all get the same context."""

    def __init__(self, units: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(units)

    def forward(self, tokens: Tensor, *context: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D)."""
        for unit in self.layers:
            tokens = unit(tokens, *context)
        return tokens
