"""Multi-head attention whose projections can be called apart, so that a decoder can keep keys and
values.

The parameter names and shapes are those of `torch.nn.MultiheadAttention`: released weights load as
they are.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class KeyValue(NamedTuple):
    """What queries attend to: keys and values, (B, H, S, D / H) each."""

    key: Tensor
    value: Tensor


def attend_all(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Map queries (B, H, L, D / H) over all keys and values (B, H, S, D / H), to (B, H, L, D / H).

    In half precision PyTorch's backward kernel for CPUs takes four times as long as two products
    and a softmax, so those take its place where a gradient may be asked for.
    """
    half = query.dtype in (torch.bfloat16, torch.float16)
    if half and query.device.type == "cpu" and torch.is_grad_enabled():
        scores = (query * query.shape[-1] ** -0.5) @ key.mT  # (B, H, L, S)
        return scores.softmax(-1).to(value.dtype) @ value
    return F.scaled_dot_product_attention(query, key, value)


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention over `num_heads` heads (Vaswani et al. 2017, section 3.2.2)."""

    def __init__(self, *, embed_dim: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(
                f"embed_dim {embed_dim} cannot be split into {num_heads} heads of equal size"
            )
        self.num_heads = num_heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dim, embed_dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dim))
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def project_query(self, query: Tensor) -> Tensor:
        """Project (B, L, D) to heads, (B, H, L, D / H)."""
        dim = query.shape[-1]
        return self._split_heads(
            F.linear(query, self.in_proj_weight[:dim], self.in_proj_bias[:dim])
        )

    def project_key_value(self, context: Tensor) -> KeyValue:
        """Project (B, S, D) to the keys and values of its tokens."""
        dim = context.shape[-1]
        projected = F.linear(
            context, self.in_proj_weight[dim:], self.in_proj_bias[dim:]
        )  # (B, S, 2 * D)
        key, value = projected.chunk(2, dim=-1)
        return KeyValue(self._split_heads(key), self._split_heads(value))

    def attend(self, query: Tensor, context: KeyValue, mask: Tensor | None = None) -> Tensor:
        """Map queries (B, H, L, D / H) over a context, to (B, L, D).

        mask: bool, broadcastable to (B, H, L, S); true where a query may attend.
        """
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(
            query, context.key, context.value, attn_mask=mask, dropout_p=dropout
        )
        return self.out_proj(
            mixed.transpose(1, 2).flatten(2)
        )  # (B, H, L, D / H) -> (B, L, H, D / H) -> (B, L, D)

    def forward(self, query: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map queries (B, L, D) over context tokens (B, S, D), to (B, L, D); `mask` as in
        `attend`.
        """
        return self.attend(self.project_query(query), self.project_key_value(context), mask)

    def _split_heads(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.num_heads, -1)).transpose(
            1, 2
        )  # (B, L, D) -> (B, H, L, D / H)
