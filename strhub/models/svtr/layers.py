"""What the encoder, the rearrangement and the guidance share: features of images of unlike widths.

Features are (B, H, W, D), the channels last. Images that are narrower than their batch are padded
on the right; `padding` is (B, W), true for a padded column, or None if the batch has none. Nothing
that is read of an image depends on how far it is padded: convolutions see zeros there, as beyond
the edge, and attention does not see it at all.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def clear(features: Tensor, padding: Tensor | None) -> Tensor:
    """Return features (B, H, W, D) with zeros in padded columns, as a convolution is to see
    them.
    """
    return features if padding is None else features.masked_fill(padding[:, None, :, None], 0)


class Convolution(nn.Module):
    """A convolution over features whose channels come last, the height and width kept but for
    `stride`.
    """

    def __init__(
        self,
        source: int,
        target: int,
        *,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> None:
        super().__init__()
        middle = (kernel[0] // 2, kernel[1] // 2)
        self.conv = nn.Conv2d(source, target, kernel, stride=stride, padding=middle, groups=groups)

    def forward(self, features: Tensor, padding: Tensor | None) -> Tensor:
        """Map (B, H, W, D) to (B, H', W', D'); its values for padded columns must not be used."""
        planes = clear(features, padding).permute(
            0, 3, 1, 2
        )  # (B, D, H, W), in memory still channels last
        return self.conv(planes).permute(0, 2, 3, 1)


class SingleAttention(nn.Module):
    """Attention with one head and nothing behind it, as the paper writes it: softmax(Q W_q (C
    W_k)^T) C W_v.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(embed_dim, embed_dim)
        self.key = nn.Linear(embed_dim, embed_dim)
        self.value = nn.Linear(embed_dim, embed_dim)

    def forward(self, query: Tensor, context: Tensor, padding: Tensor | None = None) -> Tensor:
        """Map queries (B, L, D) over a context (B, S, D), to (B, L, D). padding: (B, S), true for
        what is not seen.
        """
        mask = None if padding is None else ~padding[:, None, :]  # (B, 1, S)
        return F.scaled_dot_product_attention(
            self.query(query), self.key(context), self.value(context), attn_mask=mask
        )
