"""A vision transformer without a head: an image to a sequence of tokens, with or without a class
token.

Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", with DeiT's sizes. Parameters are named as
in timm's `VisionTransformer`, the naming of the published recognizers. A stem of convolutions,
which they lack, is an option.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from strhub.models.layers.attention import attend_all


class Stem(nn.Sequential):
    """Early convolutions (Xiao et al. 2021): 3 x 3, each halving the height, and the width as often
    as a patch allows.

    channels: of each; patch_size: of the patches that follow, whose height must be a multiple of 2
    ** len(channels). `stride` is by how much the whole shrinks an image.
    """

    def __init__(self, *, channels: Sequence[int], patch_size: tuple[int, int]) -> None:
        height, width = 1, 1
        layers: list[nn.Module] = []
        for source, target in zip([3, *channels], channels, strict=False):
            across = 2 if patch_size[1] % (2 * width) == 0 else 1
            height, width = 2 * height, across * width
            layers += [nn.Conv2d(source, target, 3, stride=(2, across), padding=1, bias=False)]
            layers += [nn.BatchNorm2d(target), nn.GELU()]
        super().__init__(*layers)
        self.stride = (height, width)
        if patch_size[0] % height:
            raise ValueError(
                f"a stem of {len(channels)} convolutions needs patches whose height is a multiple "
                f"of {height}, "
                f"not {patch_size[0]}"
            )

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, channels[-1], H', W').

        In training with the colors of a pixel side by side: on a CPU a step takes 0.8 of the time.
        """
        if self.training:
            images = images.contiguous(memory_format=torch.channels_last)
        for layer in self:
            images = layer(images)
        return images


class PatchEmbedding(nn.Module):
    """Cut an image into patches and project each to a token.

    stem: channels of convolutions that come first; the patches are then cut from what they give, at
        the same places.
    bias: of the projection.
    """

    def __init__(
        self,
        *,
        img_size: tuple[int, int],
        patch_size: tuple[int, int],
        embed_dim: int,
        stem: Sequence[int] = (),
        bias: bool = True,
    ) -> None:
        super().__init__()
        if any(side % patch for side, patch in zip(img_size, patch_size, strict=True)):
            raise ValueError(
                f"img_size {list(img_size)} cannot be cut into patches of {list(patch_size)}: "
                "height and width must be multiples of the patch's"
            )
        self.img_size = img_size
        self.grid_size = (img_size[0] // patch_size[0], img_size[1] // patch_size[1])
        self.stem: nn.Module = nn.Identity()
        cut = patch_size
        if stem:
            self.stem = convolutions = Stem(channels=stem, patch_size=patch_size)
            cut = (patch_size[0] // convolutions.stride[0], patch_size[1] // convolutions.stride[1])
        self.proj = nn.Conv2d(
            stem[-1] if stem else 3, embed_dim, kernel_size=cut, stride=cut, bias=bias
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, N, D), patches in reading order."""
        if tuple(images.shape[1:]) != (3, *self.img_size):
            raise ValueError(
                f"the model takes images of shape (B, 3, {self.img_size[0]}, {self.img_size[1]}), "
                f"not {tuple(images.shape)}: use get_transform(model.hparams.img_size)"
            )
        return (
            self.proj(self.stem(images)).flatten(2).transpose(1, 2)
        )  # (B, D, H', W') -> (B, D, N) -> (B, N, D)


class SelfAttention(nn.Module):
    """Every token attends to every token, or with `causal` to itself and those before it."""

    def __init__(self, *, embed_dim: int, num_heads: int, causal: bool = False) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(
                f"embed_dim {embed_dim} cannot be split into {num_heads} heads of equal size"
            )
        self.num_heads = num_heads
        self.causal = causal
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        qkv = self.qkv(tokens).unflatten(-1, (3, self.num_heads, -1))  # (B, N, 3, H, D / H)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, N, D / H) each
        if self.causal:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            mixed = attend_all(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))  # (B, H, N, D / H) -> (B, N, D)


def quick_gelu(values: Tensor) -> Tensor:
    """Return x times the sigmoid of 1.702 x: the cheap GELU (Hendrycks & Gimpel 2016, section 2)
    that OpenAI's CLIP has.
    """
    return values * torch.sigmoid(1.702 * values)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "quick_gelu": quick_gelu}


class MLP(nn.Module):
    """Two linear layers with a GELU between; activation: a name in `ACTIVATIONS`."""

    def __init__(self, *, embed_dim: int, hidden_dim: int, activation: str = "gelu") -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"there is no activation {activation!r}; known: {', '.join(ACTIVATIONS)}"
            )
        self.activation = activation
        self.fc1 = nn.Linear(embed_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        return self.fc2(ACTIVATIONS[self.activation](self.fc1(tokens)))


class EncoderBlock(nn.Module):
    """Pre-norm attention and MLP, each with a residual.

    norm_eps, activation, causal: the defaults are those of vision transformers; CLIP's towers have
        others.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        num_heads: int,
        mlp_ratio: float,
        norm_eps: float = 1e-6,
        activation: str = "gelu",
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.attn = SelfAttention(embed_dim=embed_dim, num_heads=num_heads, causal=causal)
        self.norm2 = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.mlp = MLP(
            embed_dim=embed_dim, hidden_dim=int(embed_dim * mlp_ratio), activation=activation
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class BlockStack(nn.Module):
    """A network with transformer blocks one after the other.

    recompute: keep nothing from within a block for the backward pass, which computes it again.
    """

    recompute = False

    def through(self, blocks: nn.ModuleList, tokens: Tensor) -> Tensor:
        """Take tokens (B, N, D) through all blocks."""
        for block in blocks:
            if self.recompute and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, use_reentrant=False, preserve_rng_state=False)
            else:
                tokens = block(tokens)
        return tokens


class VisionTransformer(BlockStack):
    """Patches, learned positions, `depth` blocks, a final norm.

    stem: see `PatchEmbedding`. class_token: a learned token before those of the patches, as in the
        paper's Figure 1.
    """

    def __init__(
        self,
        *,
        img_size: tuple[int, int],
        patch_size: tuple[int, int],
        embed_dim: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float,
        stem: Sequence[int] = (),
        class_token: bool = False,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(
            img_size=img_size, patch_size=patch_size, embed_dim=embed_dim, stem=stem
        )
        rows, columns = self.patch_embed.grid_size
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim)) if class_token else None
        self.pos_embed = nn.Parameter(torch.zeros(1, class_token + rows * columns, embed_dim))
        self.blocks = nn.ModuleList(
            EncoderBlock(embed_dim=embed_dim, num_heads=num_heads, mlp_ratio=mlp_ratio)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        if self.cls_token is not None:
            nn.init.trunc_normal_(self.cls_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W), normalized, to tokens (B, N, D), the class token first if there is
        one.
        """
        tokens = self.patch_embed(images)
        if self.cls_token is not None:
            tokens = torch.cat([self.cls_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        tokens = tokens + self.pos_embed
        return self.norm(self.through(self.blocks, tokens))
