"""CLIP's two towers: an image to tokens, a tokenized text to one vector, both in the space that
they share.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision",
section 2.4. The parts are named as those of `VisionTransformer`, so that what knows its layers
knows these; `strhub.clip.weights` has the names that released files use.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from strhub.models.layers.vision_transformer import BlockStack, EncoderBlock, PatchEmbedding

NORM_EPS = 1e-5
MLP_RATIO = 4


class ClipImageTower(BlockStack):
    """A vision transformer with a class token, a norm before its blocks, and a projection of every
    token after them.

    img_size, patch_size: [height, width] in pixels. embed_dim: of its own tokens; output_dim: of
        the shared space. stem: channels of convolutions that come first, which CLIP's has none of;
        see `strhub.models.layers.vision_transformer.Stem`.
    """

    def __init__(
        self,
        *,
        img_size: Sequence[int],
        patch_size: Sequence[int],
        embed_dim: int,
        depth: int,
        num_heads: int,
        output_dim: int,
        mlp_ratio: float = MLP_RATIO,
        activation: str = "quick_gelu",
        stem: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(
            img_size=(img_size[0], img_size[1]),
            patch_size=(patch_size[0], patch_size[1]),
            embed_dim=embed_dim,
            stem=stem,
            bias=False,
        )
        rows, columns = self.patch_embed.grid_size
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + rows * columns, embed_dim))
        self.norm_pre = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        self.blocks = _blocks(
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            activation=activation,
        )
        self.norm = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        self.projection = nn.Linear(embed_dim, output_dim, bias=False)
        scale = embed_dim**-0.5
        for parameter in (self.cls_token, self.pos_embed, self.projection.weight):
            nn.init.normal_(parameter, std=scale)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W), normalized, to tokens (B, 1 + N, output_dim), the class token first."""
        tokens = self.patch_embed(images)  # (B, N, D)
        tokens = torch.cat([self.cls_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        tokens = self.norm_pre(tokens + self.pos_embed)
        return self.projection(self.norm(self.through(self.blocks, tokens)))


class ClipTextTower(nn.Module):
    """A causal transformer over text tokens; the last token of a text stands for all of it.

    vocab_size: how many token ids there are; context_length: the longest text, in tokens.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        context_length: int,
        embed_dim: int,
        depth: int,
        num_heads: int,
        output_dim: int,
        mlp_ratio: float = MLP_RATIO,
        activation: str = "quick_gelu",
    ) -> None:
        super().__init__()
        self.context_length = context_length
        self.token_embedding = nn.Embedding(vocab_size, embed_dim)
        self.pos_embed = nn.Parameter(torch.empty(context_length, embed_dim))
        self.blocks = _blocks(
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            activation=activation,
            causal=True,
        )
        self.norm = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        self.projection = nn.Linear(embed_dim, output_dim, bias=False)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.pos_embed, std=0.01)
        nn.init.normal_(self.projection.weight, std=embed_dim**-0.5)

    @property
    def vocab_size(self) -> int:
        """Return how many token ids it knows."""
        return self.token_embedding.num_embeddings

    @property
    def output_dim(self) -> int:
        """Return the size of the shared space."""
        return self.projection.out_features

    def tokens(self, ids: Tensor) -> Tensor:
        """Map ids (B, L), L at most context_length, to projected tokens (B, L, output_dim)."""
        tokens = self.token_embedding(ids) + self.pos_embed[: ids.shape[1]]
        for block in self.blocks:
            tokens = block(tokens)
        return self.projection(self.norm(tokens))

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Map ids (B, L) of texts with that many tokens (B) each, followed by padding, to features
        (B, output_dim).
        """
        return self.tokens(ids)[torch.arange(len(ids), device=ids.device), lengths - 1]


def _blocks(
    *,
    embed_dim: int,
    depth: int,
    num_heads: int,
    mlp_ratio: float,
    activation: str,
    causal: bool = False,
) -> nn.ModuleList:
    """Build transformer blocks with CLIP's initial weights (section 2.4 and the released code's
    constants).
    """
    blocks = nn.ModuleList(
        EncoderBlock(
            embed_dim=embed_dim,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            norm_eps=NORM_EPS,
            activation=activation,
            causal=causal,
        )
        for _ in range(depth)
    )
    for module in blocks.modules():
        if isinstance(module, nn.Linear):
            # What adds to the residual stream starts smaller, by the number of blocks that do.
            shrinks = (2 * depth) ** -0.5 if module.out_features == embed_dim else 1.0
            nn.init.normal_(module.weight, std=embed_dim**-0.5 * shrinks)
            nn.init.zeros_(module.bias)
    return blocks
