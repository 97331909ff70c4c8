"""PARSeq's two-stream decoder (section 3.2 and Figure 3 of the paper).

The query stream carries positions and becomes the output; the content stream carries the characters
read so far. Both hold P variants of each row, one a permutation when training and P = 1 when
reading: (B, P, L, D).
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from strhub.models.layers.attention import KeyValue, MultiHeadAttention


class DecoderLayer(nn.Module):
    """Attention to the content under a permutation's mask, attention to the image, MLP; pre-norm
    with residuals.
    """

    def __init__(self, *, embed_dim: int, num_heads: int, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        hidden_dim = int(embed_dim * mlp_ratio)
        self.self_attn = MultiHeadAttention(
            embed_dim=embed_dim, num_heads=num_heads, dropout=dropout
        )
        self.cross_attn = MultiHeadAttention(
            embed_dim=embed_dim, num_heads=num_heads, dropout=dropout
        )
        self.linear1 = nn.Linear(embed_dim, hidden_dim)
        self.linear2 = nn.Linear(hidden_dim, embed_dim)
        self.norm_q = nn.LayerNorm(embed_dim)
        self.norm_c = nn.LayerNorm(embed_dim)
        self.norm1 = nn.LayerNorm(embed_dim)
        self.norm2 = nn.LayerNorm(embed_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, stream: Tensor, normed: Tensor, content: KeyValue, memory: KeyValue, mask: Tensor
    ) -> Tensor:
        """Update one stream.

        stream: (B, P, L, D); normed: the same after the stream's own norm.
        content: keys and values of the content stream, (B * P or B, H, S, D / H); B if all P share
            one content.
        memory: keys and values of the image's tokens, (B, H, N, D / H).
        mask: bool, (B, 1, P * L, S) if all P share one content, else (B * P, 1, L, S); true where
            a position may attend.
        """
        stream = stream + self.dropout(self.attend_to_content(normed, content, mask))
        query = self.cross_attn.project_query(
            self.norm1(stream).flatten(1, 2)
        )  # (B, H, P * L, D / H)
        stream = stream + self.dropout(self.cross_attn.attend(query, memory)).view_as(stream)
        hidden = self.dropout(F.gelu(self.linear1(self.norm2(stream))))
        return stream + self.dropout(self.linear2(hidden))

    def attend_to_content(self, normed: Tensor, content: KeyValue, mask: Tensor) -> Tensor:
        """Attend with normed streams (B, P, L, D) to the content, (B, P, L, D); mask as in
        `forward`.
        """
        batch, variants, length, _ = normed.shape
        shared = content.key.shape[0] == batch
        if shared:  # one content for all variants: they are so many more queries to the same keys
            query = self.self_attn.project_query(normed.flatten(1, 2))  # (B, H, P * L, D / H)
        else:
            query = self.self_attn.project_query(normed.flatten(0, 1))  # (B * P, H, L, D / H)
        return self.self_attn.attend(query, content, mask).view(batch, variants, length, -1)


class Decoder(nn.Module):
    """A stack of layers and a final norm. The content stream is updated only in layers before the
    last.
    """

    def __init__(
        self, *, depth: int, embed_dim: int, num_heads: int, mlp_ratio: float, dropout: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DecoderLayer(
                embed_dim=embed_dim, num_heads=num_heads, mlp_ratio=mlp_ratio, dropout=dropout
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(embed_dim)

    @property
    def stack(self) -> list[DecoderLayer]:
        """Return the layers with their type, which ModuleList does not tell."""
        return cast("list[DecoderLayer]", list(self.layers))

    def project_memory(self, memory: Tensor) -> list[KeyValue]:
        """Project the image's tokens (B, N, D) to each layer's keys and values: the same in every
        pass over it.
        """
        return [layer.cross_attn.project_key_value(memory) for layer in self.stack]

    def forward(
        self, query: Tensor, content: Tensor, memory: Sequence[KeyValue], masks: "Masks"
    ) -> Tensor:
        """Return all positions in one pass.

        query: (B, P, L, D); content: (B, S, D); memory: see `project_memory`. Returns (B, P, L, D).
        """
        variants = query.shape[1]
        content = content.unsqueeze(1)  # (B, 1, S, D) until a layer makes the variants differ
        for index, (layer, memory_kv) in enumerate(zip(self.stack, memory, strict=True)):
            normed = layer.norm_c(content)
            content_kv = layer.self_attn.project_key_value(normed.flatten(0, 1))
            shared = content.shape[1] == 1
            query = layer(
                query, layer.norm_q(query), content_kv, memory_kv, masks.for_query(shared)
            )
            if index + 1 < len(self.layers):
                if shared and variants > 1:
                    content, normed = (
                        tokens.expand(-1, variants, -1, -1) for tokens in (content, normed)
                    )
                content = layer(content, normed, content_kv, memory_kv, masks.for_content(shared))
        return self.norm(query)


class Masks(NamedTuple):
    """Which content each position may attend to; bool.

    query: (P, L, S), true where the query stream may attend; content: (P, S, S), the same for the
        content stream.
    hidden: (B, S), true for content that no position may see: padding, or what follows [E].
    """

    query: Tensor
    content: Tensor
    hidden: Tensor

    def for_query(self, shared: bool) -> Tensor:
        """Return the query stream's mask, shaped for a content that the P variants share or not."""
        return self._shaped(self.query, shared)

    def for_content(self, shared: bool) -> Tensor:
        """Return the content stream's mask, likewise."""
        return self._shaped(self.content, shared)

    def _shaped(self, mask: Tensor, shared: bool) -> Tensor:
        visible = mask.unsqueeze(0) & ~self.hidden[:, None, None, :]  # (B, P, L, S)
        if shared:
            return visible.flatten(1, 2).unsqueeze(1)  # (B, 1, P * L, S)
        return visible.flatten(0, 1).unsqueeze(1)  # (B * P, 1, L, S)


def permutation_masks(permutations: Tensor, hidden: Tensor) -> Masks:
    """Return the masks under which each position sees what comes before it in its permutation
    (section 3.3, Figure 3).

    permutations: (P, T + 1) positions in the order of prediction: 0 is [B], always first, then 1 to
    T. Queries predict positions 1 to T from content at positions 0 to T - 1, so both masks are (P,
    T, T). hidden: (B, T).
    """
    rank = permutations.argsort(dim=-1)  # when in the order each position comes
    before = rank.unsqueeze(-1) > rank.unsqueeze(-2)  # (P, T + 1, T + 1): row comes after column
    itself = torch.eye(rank.shape[-1], dtype=torch.bool, device=rank.device)
    return Masks(query=before[:, 1:, :-1], content=(before | itself)[:, :-1, :-1], hidden=hidden)


def one_pass_masks(length: int, hidden: Tensor) -> Masks:
    """Return the masks of non-autoregressive reading, where every position sees only the [B] token.
    hidden: (B, 1), false.
    """
    ones = hidden.new_ones(1, length, 1)
    return Masks(query=ones, content=ones[:, :1], hidden=hidden)


def cloze_masks(length: int, hidden: Tensor) -> Masks:
    """Return the masks of refinement: position i sees every character but its own, which stands at
    i + 1 after [B]. hidden: (B, S).
    """
    ones = hidden.new_ones(length, hidden.shape[1])
    itself = ones.triu(1) & ones.tril(1)
    return Masks(
        query=(ones & ~itself).unsqueeze(0),
        content=hidden.new_ones(hidden.shape[1], hidden.shape[1]).tril().unsqueeze(0),
        hidden=hidden,
    )
