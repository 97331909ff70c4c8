"""SVTR's encoder: an image of any width to a map of features with a column every 4 pixels.

Three stages of mixing blocks, local ones first (Du et al. 2022, section 3): strokes, then
characters, then the word. As in SVTRv2, local mixing is two grouped convolutions and no position is
learned, so that any width will do.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from strhub.models.layers.attention import MultiHeadAttention
from strhub.models.layers.vision_transformer import MLP
from strhub.models.svtr.layers import Convolution

COLUMN_WIDTH = 4  # pixels a column of features


class PatchEmbedding(nn.Module):
    """Two convolutions with a stride of 2, each with its norm."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.conv1 = Convolution(3, embed_dim // 2, stride=(2, 2))
        self.norm1 = nn.LayerNorm(embed_dim // 2)
        self.conv2 = Convolution(embed_dim // 2, embed_dim, stride=(2, 2))
        self.norm2 = nn.LayerNorm(embed_dim)

    def forward(self, images: Tensor, padding: Tensor | None) -> Tensor:
        """Map (B, 3, H, W), zero in padded columns, to (B, H / 4, W / 4, D). padding: (B, W), of
        pixels.
        """
        pixels = images.permute(0, 2, 3, 1)  # (B, H, W, 3)
        halves = F.gelu(self.norm1(self.conv1(pixels, None)))  # (B, H / 2, W / 2, D / 2)
        quarters = self.conv2(
            halves, None if padding is None else padding[:, ::2]
        )  # (B, H / 4, W / 4, D)
        return F.gelu(self.norm2(quarters))


class LocalMixing(nn.Module):
    """Two 3 x 3 convolutions in groups: each column sees two more on either side."""

    def __init__(self, embed_dim: int, groups: int) -> None:
        super().__init__()
        self.conv1 = Convolution(embed_dim, embed_dim, groups=groups)
        self.conv2 = Convolution(embed_dim, embed_dim, groups=groups)

    def forward(self, features: Tensor, padding: Tensor | None) -> Tensor:
        """Map (B, H, W, D) to (B, H, W, D)."""
        return self.conv2(F.gelu(self.conv1(features, padding)), padding)


class GlobalMixing(nn.Module):
    """Every place attends to every place that is not padding."""

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(embed_dim=embed_dim, num_heads=num_heads)

    def forward(self, features: Tensor, padding: Tensor | None) -> Tensor:
        """Map (B, H, W, D) to (B, H, W, D)."""
        mask = None
        if padding is not None:
            mask = ~padding.repeat(1, features.shape[1])[
                :, None, None
            ]  # (B, W) -> (B, H * W) -> (B, 1, 1, H * W)
        positions = features.flatten(1, 2)  # (B, H * W, D)
        return self.attention(positions, positions, mask).view_as(features)


class MixingBlock(nn.Module):
    """Pre-norm mixing and MLP, each with a residual."""

    def __init__(self, mixing: nn.Module, embed_dim: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim)
        self.mixing = mixing
        self.norm2 = nn.LayerNorm(embed_dim)
        self.mlp = MLP(embed_dim=embed_dim, hidden_dim=int(embed_dim * mlp_ratio))

    def forward(self, features: Tensor, padding: Tensor | None) -> Tensor:
        """Map (B, H, W, D) to (B, H, W, D)."""
        features = features + self.mixing(self.norm1(features), padding)
        return features + self.mlp(self.norm2(features))


class Merging(nn.Module):
    """From one stage to the next: more channels, and the height divided by `stride`. The width
    stays.
    """

    def __init__(self, source: int, target: int, *, stride: int) -> None:
        super().__init__()
        self.conv = Convolution(source, target, kernel=(2 * stride - 1, 3), stride=(stride, 1))
        self.norm = nn.LayerNorm(target)

    def forward(self, features: Tensor, padding: Tensor | None) -> Tensor:
        """Map (B, H, W, D) to (B, H / stride, W, D')."""
        return self.norm(self.conv(features, padding))


class Encoder(nn.Module):
    """Patch embedding and three stages.

    embed_dims, depths, num_heads: of each stage; local_depth: how many blocks, counted through all
    stages, mix locally before the others mix globally; local mixing has as many groups as attention
    has heads. height_strides: by how much the height shrinks after the first and the second stage,
    1 or 2 each.
    """

    def __init__(
        self,
        *,
        embed_dims: Sequence[int],
        depths: Sequence[int],
        num_heads: Sequence[int],
        local_depth: int,
        height_strides: Sequence[int],
        mlp_ratio: float,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(embed_dims[0])
        layers: list[nn.Module] = []
        blocks = 0
        for number, (dim, depth, heads) in enumerate(
            zip(embed_dims, depths, num_heads, strict=True)
        ):
            if number:
                layers.append(
                    Merging(embed_dims[number - 1], dim, stride=height_strides[number - 1])
                )
            for _ in range(depth):
                mixing = (
                    LocalMixing(dim, heads) if blocks < local_depth else GlobalMixing(dim, heads)
                )
                layers.append(MixingBlock(mixing, dim, mlp_ratio))
                blocks += 1
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(embed_dims[-1])

    def forward(self, images: Tensor, padding: Tensor | None) -> Tensor:
        """Map images (B, 3, H, W), zero in padded columns, to features (B, H', W / 4, D).

        padding: (B, W) of pixels, or None.
        """
        features = self.patch_embed(images, padding)  # (B, H / 4, W / 4, D)
        columns = None if padding is None else padding[:, ::COLUMN_WIDTH]  # (B, W / 4)
        for layer in self.layers:
            features = layer(
                features, columns
            )  # merging: (B, H', W / 4, D) to (B, H' / stride, W / 4, D')
        return self.norm(features)
