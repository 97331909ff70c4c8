"""The SVTRv2 network: an image of any width to the probabilities of a character, or none, at each
of its columns.

In: images of one height, the narrower ones padded on the right with NaN (see
`strhub.data.loading.aspect`). Out: logits for CTC. The paper's third part, semantic guidance, is of
training only: `strhub.models.svtr.guidance`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from strhub.models.network import Network
from strhub.models.svtr.encoder import COLUMN_WIDTH, Encoder
from strhub.models.svtr.rearrangement import FeatureRearrangement

IMPOSSIBLE = -1e4  # a logit that no probability is left of, even in 16 bits


class SVTRv2(Network):
    """Single visual model for text recognition, version 2.

    charset_size: characters it knows; token ids are 0 = blank, then the characters.
    max_label_length: the longest text of its training; what it can read is limited by the width of
        the image alone.
    img_size: height in pixels, and the greatest width that images are brought to; it takes any.
    embed_dims, depths, num_heads, local_depth, height_strides: see
    `strhub.models.svtr.encoder.Encoder`.
    """

    tokenizer = "ctc"
    marker = "rearrangement.selecting_token"  # a parameter that only this architecture has
    not_in_weights = (
        "max_label_length",
        "img_size",
        "keep_aspect",
        "num_heads",
    )  # hyper-parameters that no tensor shows

    def __init__(
        self,
        *,
        charset_size: int,
        max_label_length: int,
        img_size: Sequence[int],
        embed_dims: Sequence[int],
        depths: Sequence[int],
        num_heads: Sequence[int],
        local_depth: int,
        height_strides: Sequence[int],
        mlp_ratio: float,
    ) -> None:
        super().__init__()
        _check_sizes(embed_dims, depths, num_heads, height_strides)
        self.max_label_length = max_label_length
        self.height = img_size[0]
        self.height_stride = COLUMN_WIDTH * height_strides[0] * height_strides[1]
        if self.height % self.height_stride:
            raise ValueError(
                f"img_size: the height must be a multiple of {self.height_stride}, not "
                f"{self.height}"
            )
        self.encoder = Encoder(
            embed_dims=embed_dims,
            depths=depths,
            num_heads=num_heads,
            local_depth=local_depth,
            height_strides=height_strides,
            mlp_ratio=mlp_ratio,
        )
        self.rearrangement = FeatureRearrangement(embed_dim=embed_dims[-1], mlp_ratio=mlp_ratio)
        self.head = nn.Linear(embed_dims[-1], charset_size + 1)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                # By size: a usual 0.02 is so little for narrow layers that a run long reads blanks
                # only.
                nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor, max_length: int | None = None) -> Tensor:
        """Read images (B, 3, H, W), normalized, W any multiple of 4, to logits (B, W / 4,
        charset_size + 1).

        Where an image is padded, the blank is certain. max_length is of no use here, as CTC reads
        all columns.
        """
        if self.training or padded_columns(images) is None:
            return self.read(*self.encode(images))
        columns = self.columns_of(images).tolist()
        logits = self._only_blank(images.shape[3] // COLUMN_WIDTH).repeat(
            len(images), 1, 1
        )  # (B, W / 4, C)
        for group in similar_widths(columns):  # what is not computed costs nothing
            widest = max(columns[index] for index in group)
            read = self.read(*self.encode(images[group, ..., : widest * COLUMN_WIDTH]))
            logits[group, :widest] = read.to(logits.dtype)
        return logits

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map images (B, 3, H, W) to features (B, H', W / 4, D), and say which of their columns are
        padding, (B, W / 4).
        """
        if (
            images.shape[1:3] != (3, self.height)
            or images.shape[3] % COLUMN_WIDTH
            or not images.shape[3]
        ):
            raise ValueError(
                f"the model takes images of shape (B, 3, {self.height}, W), W a multiple of "
                f"{COLUMN_WIDTH}, "
                f"not {tuple(images.shape)}"
            )
        pixels = padded_columns(images)
        if pixels is None:
            return self.encoder(images, None), None
        images = images.masked_fill(pixels[:, None, None], 0)
        return self.encoder(images, pixels), pixels[:, ::COLUMN_WIDTH]

    def read(self, features: Tensor, padding: Tensor | None) -> Tensor:
        """Map features (B, H', W', D) to logits (B, W', charset_size + 1)."""
        logits = self.head(self.rearrangement(features, padding))
        if padding is None:
            return logits
        return torch.where(padding[..., None], self._only_blank(1).to(logits.dtype), logits)

    def columns_of(self, images: Tensor) -> Tensor:
        """Return how many columns of features each of the images (B, 3, H, W) has, less its
        padding: (B).
        """
        padding = padded_columns(images)
        if padding is None:
            return torch.full((len(images),), images.shape[3] // COLUMN_WIDTH, device=images.device)
        return (~padding[:, ::COLUMN_WIDTH]).sum(1)

    def _only_blank(self, columns: int) -> Tensor:
        """Return logits of columns with nothing in them, (1, W', C)."""
        logits = self.head.bias.new_full((1, columns, self.head.out_features), IMPOSSIBLE)
        logits[..., 0] = 0
        return logits

    def compiled_parts(self) -> list[nn.Module]:
        """Return the encoder."""
        return [self.encoder]

    def encoder_parts(self) -> list[nn.Module]:
        """Return the encoder."""
        return [self.encoder]

    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the sizes that bare weights tell. A stage that only attends is taken to have heads
        of 32 channels, as in the paper, and images to be 32 high and kept in their aspect, since no
        tensor shows them.
        """
        stages, strides = _stages_of(weights)
        local = [
            [block for block in blocks if "mixing.conv1.conv.weight" in block] for blocks in stages
        ]
        dims = [len(blocks[0]["norm1.weight"]) for blocks in stages]
        near = [
            blocks[0]["mixing.conv1.conv.weight"].shape[1] if blocks else 32 for blocks in local
        ]
        return {
            "charset_size": weights["head.weight"].shape[0] - 1,
            "max_label_length": 100,
            "img_size": [32, 1024],
            "keep_aspect": True,
            "embed_dims": dims,
            "depths": [len(blocks) for blocks in stages],
            "num_heads": [
                max(1, dim // channels) for dim, channels in zip(dims, near, strict=True)
            ],
            "local_depth": sum(map(len, local)),
            "height_strides": strides,
            "mlp_ratio": stages[0][0]["mlp.fc1.weight"].shape[0] / dims[0],
        }


def padded_columns(images: Tensor) -> Tensor | None:
    """Return which columns of images (B, 3, H, W) are padding, (B, W); None if none is.

    Padding is NaN, which is no color. An exported network takes images without it.
    """
    if torch.compiler.is_exporting():
        return None
    columns = images[:, 0, 0].isnan()
    return columns if columns.any() else None


def similar_widths(widths: Sequence[int], *, spread: float = 1.25) -> list[list[int]]:
    """Return numbers 0 to n - 1 in groups whose greatest width is at most `spread` times their
    least.
    """
    groups: list[list[int]] = []
    for number in sorted(range(len(widths)), key=lambda number: widths[number]):
        if not groups or widths[number] > spread * widths[groups[-1][0]]:
            groups.append([])
        groups[-1].append(number)
    return groups


def _stages_of(weights: Mapping[str, Tensor]) -> tuple[list[list[dict[str, Tensor]]], list[int]]:
    """Return the weights of each block of each stage, by their names in the block, and the strides
    between stages.
    """
    layers: dict[int, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        if name.startswith("encoder.layers."):
            index, inner = name.removeprefix("encoder.layers.").split(".", 1)
            layers.setdefault(int(index), {})[inner] = tensor
    stages: list[list[dict[str, Tensor]]] = [[]]
    strides = []
    for number in sorted(layers):
        if "conv.conv.weight" in layers[number]:
            strides.append((1 + layers[number]["conv.conv.weight"].shape[2]) // 2)
            stages.append([])
        else:
            stages[-1].append(layers[number])
    return stages, strides


def _check_sizes(
    embed_dims: Sequence[int],
    depths: Sequence[int],
    num_heads: Sequence[int],
    height_strides: Sequence[int],
) -> None:
    if not len(embed_dims) == len(depths) == len(num_heads) == 3 or min(depths) < 1:
        raise ValueError(
            "embed_dims, depths and num_heads are three numbers each, of three "
            "stages, not "
            f"{list(embed_dims)}, {list(depths)} and {list(num_heads)}"
        )
    if len(height_strides) != 2 or not set(height_strides) <= {1, 2}:
        raise ValueError(f"height_strides are two numbers, 1 or 2 each, not {list(height_strides)}")
    for dim, heads in zip(embed_dims, num_heads, strict=True):
        if dim % heads:
            raise ValueError(
                f"embed_dims: {dim} channels cannot be split into {heads} heads of equal size"
            )
