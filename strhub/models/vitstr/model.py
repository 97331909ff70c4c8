"""The ViTSTR network: a vision transformer whose first tokens become characters (section 3 and
Figure 3 of the paper).

No decoder: attention among the tokens brings the image of each character to the token that is read
    for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from strhub.models.layers.vision_transformer import VisionTransformer
from strhub.models.network import Network


class ViTSTR(VisionTransformer, Network):
    """Vision transformer for scene text recognition.

    charset_size: characters it knows; token ids are 0 = [E], 1 to charset_size = characters, then
        [B], then [P].
    max_label_length: the longest text, in characters; it reads one token more, for [E].
    img_size, patch_size: height and width in pixels.
    """

    tokenizer = "attention"
    half_weights = True  # it reads with weights in 16 bits, too
    marker = "cls_token"  # a parameter that only this architecture has
    not_in_weights = ("max_label_length", "img_size", "num_heads")

    def __init__(
        self,
        *,
        charset_size: int,
        max_label_length: int,
        img_size: Sequence[int],
        patch_size: Sequence[int],
        embed_dim: int,
        num_heads: int,
        mlp_ratio: float = 4,
        depth: int = 12,
    ) -> None:
        super().__init__(
            img_size=(img_size[0], img_size[1]),
            patch_size=(patch_size[0], patch_size[1]),
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            class_token=True,
        )
        patches = self.pos_embed.shape[1] - 1
        if patches <= max_label_length:
            raise ValueError(
                f"max_label_length is {max_label_length}, but an image of {list(img_size)} has "
                f"{patches} patches of "
                f"{list(patch_size)}, one to read each character and one for the end: use smaller "
                "patches"
            )
        self.max_label_length = max_label_length
        self.head = nn.Linear(embed_dim, charset_size + 1)  # neither [B] nor [P] can be read
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor, max_length: int | None = None) -> Tensor:
        """Read images (B, 3, H, W), normalized, to logits (B, L, charset_size + 1).

        max_length: give this many characters and one step for [E], at most the model's own number,
            its default.
        """
        steps = min(max_length or self.max_label_length, self.max_label_length) + 1
        tokens = super().forward(images)  # (B, 1 + N, D)
        return self.head(tokens[:, 1 : 1 + steps])  # the class token reads nothing

    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the sizes that bare weights tell. The label length is as published, heads are D /
        64, at least one, and the image is 32 high, or square if that does not fit, since no tensor
        shows them.
        """
        embed_dim, _, *patch_size = weights["patch_embed.proj.weight"].shape
        patches = weights["pos_embed"].shape[1] - 1
        rows = 32 // patch_size[0]
        square = patch_size[0] == patch_size[1] and math.isqrt(patches) ** 2 == patches
        if square or rows == 0 or patches % rows:
            rows = math.isqrt(patches)
        return {
            "charset_size": weights["head.weight"].shape[0] - 1,
            "max_label_length": 25,
            "img_size": [rows * patch_size[0], patches // rows * patch_size[1]],
            "patch_size": list(patch_size),
            "embed_dim": embed_dim,
            "num_heads": max(1, embed_dim // 64),
            "mlp_ratio": weights["blocks.0.mlp.fc1.weight"].shape[0] / embed_dim,
            "depth": 1
            + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks.")),
        }
