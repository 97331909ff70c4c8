"""The TRBA network: transformation, ResNet, BiLSTM, attention (Baek et al. 2019, section 3 and
Figure 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from strhub.models.layers.columns import ColumnRecognizer
from strhub.models.network import Steps
from strhub.models.trba.attention import AttentionDecoder


class TRBA(ColumnRecognizer):
    """TPS-ResNet-BiLSTM-Attention.

    charset_size: characters it knows; token ids are 0 = [E], 1 to charset_size = characters, then
        [B], then [P].
    max_label_length: the longest text, in characters; it reads one step more, for [E].
    The rest is `ColumnRecognizer`'s.
    """

    tokenizer = "attention"
    Prediction: AttentionDecoder
    marker = "Prediction.char_embeddings.weight"  # a parameter that only this architecture has
    not_in_weights = ("max_label_length", "img_size")

    def prediction(self, charset_size: int, hidden_size: int) -> AttentionDecoder:
        """Build a decoder that predicts one character after the other, looking at all columns."""
        return AttentionDecoder(
            charset_size=charset_size, column_size=hidden_size, hidden_size=hidden_size
        )

    def forward(self, images: Tensor, max_length: int | None = None) -> Tensor:
        """Read images (B, 3, H, W), normalized, to logits (B, L, charset_size + 3).

        Its head, as published, has classes for [B] and [P] too, which no target ever is.
        max_length: run exactly this many character steps and one for [E], at most the model's own
            number, as a loss needs it. By default reading stops when every row has read [E], so L
            may be smaller.
        """
        steps = min(max_length or self.max_label_length, self.max_label_length) + 1
        return self.Prediction(self.columns(images), steps, stop_early=max_length is None)

    def begin_steps(self, images: Tensor, beams: int) -> Steps:
        """Read step by step along several beams: a function of the step's number, the tokens read
        before it and the beams they came from, (B, beams) each, to logits (B * beams, charset_size
        + 3).
        """
        return self.Prediction.begin_steps(self.columns(images), beams)

    def logits_after(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Return logits of what follows each of the true tokens (B, T), which begin with [B]: (B,
        T, charset_size + 3).
        """
        return self.Prediction.logits_after(self.columns(images), tokens)

    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the sizes that bare weights tell. The label length is as published, since no
        tensor shows it.
        """
        charset_size = weights["Prediction.generator.bias"].shape[0] - 3
        return {
            "charset_size": charset_size,
            "max_label_length": 25,
            **ColumnRecognizer.stage_sizes(weights),
        }
