"""A vision transformer without class token or head: a picture to a sequence of tokens.

Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", with DeiT's sizes. Parameters are named as in timm's
`VisionTransformer`, the naming of the published recognisers.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PatchEmbedding(nn.Module):
    """Cut a picture into patches and project each to a token."""

    def __init__(self, *, img_size: tuple[int, int], patch_size: tuple[int, int], embed_dim: int) -> None:
        super().__init__()
        if any(side % patch for side, patch in zip(img_size, patch_size, strict=True)):
            raise ValueError(
                f"img_size {list(img_size)} cannot be cut into patches of {list(patch_size)}: "
                "height and width must be multiples of the patch's"
            )
        self.img_size = img_size
        self.grid_size = (img_size[0] // patch_size[0], img_size[1] // patch_size[1])
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, N, D), patches in reading order."""
        if tuple(images.shape[1:]) != (3, *self.img_size):
            raise ValueError(
                f"the model takes pictures of shape (B, 3, {self.img_size[0]}, {self.img_size[1]}), "
                f"not {tuple(images.shape)}: use get_transform(model.hparams.img_size)"
            )
        return self.proj(images).flatten(2).transpose(1, 2)  # (B, D, H', W') -> (B, D, N) -> (B, N, D)


class SelfAttention(nn.Module):
    """Every token attends to every token."""

    def __init__(self, *, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim {embed_dim} cannot be split into {num_heads} heads of equal size")
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        qkv = self.qkv(tokens).unflatten(-1, (3, self.num_heads, -1))  # (B, N, 3, H, D / H)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, N, D / H) each
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))  # (B, H, N, D / H) -> (B, N, D)


class MLP(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, *, embed_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        return self.fc2(F.gelu(self.fc1(tokens)))


class EncoderBlock(nn.Module):
    """Pre-norm attention and MLP, each with a residual."""

    def __init__(self, *, embed_dim: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.attn = SelfAttention(embed_dim=embed_dim, num_heads=num_heads)
        self.norm2 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.mlp = MLP(embed_dim=embed_dim, hidden_dim=int(embed_dim * mlp_ratio))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class VisionTransformer(nn.Module):
    """Patches, learned positions, `depth` blocks, a final norm."""

    def __init__(
        self,
        *,
        img_size: tuple[int, int],
        patch_size: tuple[int, int],
        embed_dim: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(img_size=img_size, patch_size=patch_size, embed_dim=embed_dim)
        rows, columns = self.patch_embed.grid_size
        self.pos_embed = nn.Parameter(torch.zeros(1, rows * columns, embed_dim))
        self.blocks = nn.ModuleList(
            EncoderBlock(embed_dim=embed_dim, num_heads=num_heads, mlp_ratio=mlp_ratio) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), normalised, to tokens (B, N, D)."""
        tokens = self.patch_embed(images) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)
