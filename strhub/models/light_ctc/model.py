"""The light CTC network: an image of any width to the probabilities of a character, or none, at
each of its columns.

In: images 48 pixels high, the narrower ones of a batch padded on the right with NaN (see
`strhub.images.padding`). Out: logits for CTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from strhub.models.layers.light_conv import (
    CHANNELS,
    COLUMN_WIDTH,
    HEIGHT,
    TOKEN_DIM,
    LightConvEncoder,
)
from strhub.models.layers.widths import (
    LEAST_WIDTH,
    WIDTH_STEP,
    group_by_width,
    image_widths,
    pad_columns,
    padded_width,
)
from strhub.models.network import Network

IMPOSSIBLE = -1e4  # a logit that no probability is left of, even in 16 bits


class LightCTC(Network):
    """Light convolutional encoder with attention over its columns, and a linear layer.

    charset_size: characters it knows; token ids are 0 = blank, then the characters.
    max_label_length: the longest text of its training; what it can read is limited by the width of
        the image alone.
    img_size: height in pixels, 48, and the greatest width that images are brought to; it takes any.
    word_prior: what an English word is worth where a reading is doubtful, in nats, see
        `strhub.text.word_prior`; 0: no more than any other; can be changed at any time.
    """

    tokenizer = "ctc"
    decoding_options = ("word_prior",)
    padding = (
        LEAST_WIDTH,
        WIDTH_STEP,
    )  # an image is padded to at least the first, and a multiple of the second
    not_in_weights = ("max_label_length", "img_size", "keep_aspect")
    marker = "encoder.neck.shortcut.weight"  # a parameter that only this architecture has

    def __init__(
        self,
        *,
        charset_size: int,
        max_label_length: int,
        img_size: Sequence[int],
        word_prior: int = 0,
    ) -> None:
        super().__init__()
        self.word_prior = word_prior
        if img_size[0] != HEIGHT:
            raise ValueError(f"img_size: the height must be {HEIGHT}, not {img_size[0]}")
        self.max_label_length = max_label_length
        self.encoder = LightConvEncoder()
        self.head = nn.Linear(TOKEN_DIM, charset_size + 1)

    def forward(self, images: Tensor, max_length: int | None = None) -> Tensor:
        """Read images (B, 3, 48, W), normalized, to logits (B, W' / 8, charset_size + 1), W' by
        `padded_width`.

        What the trunk has made of images (B, L, 384) is read likewise, as one width.

        Padding is zero, as it was when the published weights were trained. All that is read of an
        image depends on its own width alone: those of different widths are read apart, and beyond
        each one's columns the blank is certain. In training a batch is padded to the widest.
        max_length is of no use here, as CTC reads all columns.
        """
        if images.ndim == 3 and images.shape[2] == CHANNELS[-1]:
            return self.head(self.tokens(images))
        if images.shape[1:3] != (3, HEIGHT) or not images.shape[3]:
            raise ValueError(
                f"the model takes images of shape (B, 3, {HEIGHT}, W), not {tuple(images.shape)}"
            )
        if torch.compiler.is_exporting():
            return self.head(self.encoder(pad_columns(images)))
        if self.training:
            return self.head(self.tokens(images))
        widths = image_widths(images)
        if len(set(widths)) == 1:
            return self.head(self.encoder(pad_columns(images[..., : widths[0]])))
        columns = padded_width(images.shape[3]) // COLUMN_WIDTH
        logits = self._only_blank(columns).repeat(len(images), 1, 1)  # (B, L, C)
        for rows, same_width in group_by_width(images):
            read = self.head(self.encoder(same_width))
            logits[rows, : read.shape[1]] = read.to(logits.dtype)
        return logits

    def tokens(self, images: Tensor) -> Tensor:
        """Return tokens (B, L, 120) of images (B, 3, 48, W), all padded to the widest, or of what
        the trunk has made of them (B, L, 384).
        """
        if images.ndim == 3:
            return self.encoder.neck(images.transpose(1, 2).unsqueeze(2))
        return self.encoder(_pad_to_common_width(images))

    def trunk(self, images: Tensor) -> Tensor:
        """Return what the convolutions make of images padded to the widest: (B, L, 384)."""
        return self.encoder.convolved(_pad_to_common_width(images)).squeeze(2).transpose(1, 2)

    def _only_blank(self, columns: int) -> Tensor:
        """Return logits of columns with nothing in them, (1, L, C)."""
        logits = self.head.bias.new_full((1, columns, self.head.out_features), IMPOSSIBLE)
        logits[..., 0] = 0
        return logits

    def columns_of(self, images: Tensor) -> Tensor:
        """Return how many of the logits' columns are an image's own, with the padding it is read
        with: (B).
        """
        if self.training or images.ndim == 3:
            columns = (
                images.shape[1]
                if images.ndim == 3
                else padded_width(images.shape[3]) // COLUMN_WIDTH
            )
            return torch.full((len(images),), columns, device=images.device)
        own = [padded_width(width) // COLUMN_WIDTH for width in image_widths(images)]
        return torch.tensor(own, device=images.device)

    def encoder_parts(self) -> list[nn.Module]:
        """Return the convolutions: frozen, they leave the attention over their columns to learn, at
        half the cost.
        """
        return [self.encoder.stem, self.encoder.blocks]

    def compiled_parts(self) -> list[nn.Module]:
        """Return the encoder: what runs once a batch and width."""
        return [self.encoder]

    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the sizes that bare weights tell; the greatest width is a usual one, since no
        tensor shows it.
        """
        return {
            "charset_size": weights["head.weight"].shape[0] - 1,
            "max_label_length": 100,
            "img_size": [HEIGHT, 1600],
            "keep_aspect": True,
        }


def _pad_to_common_width(images: Tensor) -> Tensor:
    """Return images (B, 3, H, W) with zeros for padding, up to the widest one's padded width.

    With the colors of a pixel side by side a step takes 0.6 of the time, on a CPU.
    """
    images = images.nan_to_num(0.0).contiguous(memory_format=torch.channels_last)
    return pad_columns(images)
