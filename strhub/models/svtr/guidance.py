"""SVTRv2's semantic guidance module: it has the features tell a character from what stands around
it.

Used in training only. From the characters left of a place, and then from those right of it, a query
is made that finds and reads the place in the features: so they come to hold what language knows,
and CTC, which reads each column by itself, gains by it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from strhub.models.svtr.layers import SingleAttention


class SemanticGuidance(nn.Module):
    """Predicts each character of a label from the features and the `context` characters on one side
    of it.

    Two things the paper leaves open: the characters of a context carry their distance, without
    which it would be a set, and both sides share all weights but their token.
    """

    def __init__(self, *, charset_size: int, embed_dim: int, context: int) -> None:
        super().__init__()
        self.context = context
        self.embedding = nn.Embedding(
            charset_size + 1, embed_dim
        )  # 0 stands for what is before or after the text
        self.distance = nn.Parameter(torch.empty(context, embed_dim))
        self.side_tokens = nn.Parameter(torch.empty(2, embed_dim))  # left, right
        self.gather = SingleAttention(embed_dim)
        self.norm = nn.LayerNorm(embed_dim)
        self.look = SingleAttention(embed_dim)
        self.head = nn.Linear(embed_dim, charset_size)
        for tensor in (self.embedding.weight, self.distance, self.side_tokens):
            nn.init.trunc_normal_(tensor, std=0.02)

    def forward(self, features: Tensor, padding: Tensor | None, tokens: Tensor) -> Tensor:
        """Return logits of each character from its left and its right, (B, 2, L, charset_size).

        features: (B, H, W, D); padding: (B, W) or None; tokens: ids of the labels, (B, L), 0 after
            the end.
        """
        (batch, length), dim = tokens.shape, features.shape[-1]
        characters = (
            self.embedding(contexts(tokens, self.context)) + self.distance
        )  # (B, 2, L, K, D)
        token = self.side_tokens[None, :, None].expand(batch, -1, length, -1).reshape(-1, 1, dim)
        gathered = self.gather(token, characters.flatten(0, 2))  # (B * 2 * L, 1, D)
        query = self.norm(gathered + token).view(batch, 2 * length, dim)  # (B, 2 * L, D)
        hidden = None if padding is None else padding.repeat(1, features.shape[1])  # (B, H * W)
        seen = self.look(query, features.flatten(1, 2), hidden)  # (B, 2 * L, D)
        return self.head(seen).unflatten(1, (2, length))

    def loss(self, features: Tensor, padding: Tensor | None, tokens: Tensor) -> Tensor:
        """Return the cross-entropy, the mean over all characters and both sides; 0 if no label has
        any.
        """
        logits = self(features, padding, tokens)
        targets = (tokens - 1)[:, None].expand(-1, 2, -1)  # (B, 2, L), -1 after the end
        total = F.cross_entropy(
            logits.flatten(0, 2).float(), targets.flatten(), ignore_index=-1, reduction="sum"
        )
        return total / (targets >= 0).sum().clamp(min=1)


def contexts(tokens: Tensor, size: int) -> Tensor:
    """Return the `size` ids to the left and to the right of each of tokens (B, L), the nearest
    first: (B, 2, L, size).

    Beyond the text there are zeros.
    """
    length = tokens.shape[1]
    beyond = F.pad(tokens, (size, size))  # (B, size + L + size)
    windows = beyond.unfold(1, size, 1)  # (B, L + size + 1, size)
    return torch.stack([windows[:, :length].flip(-1), windows[:, size + 1 :]], dim=1)
