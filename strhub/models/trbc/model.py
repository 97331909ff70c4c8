"""The TRBC network: transformation, ResNet, BiLSTM, CTC (Baek et al. 2019, section 3 and Figure
3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from strhub.models.layers.columns import ColumnRecognizer
from strhub.models.layers.ctc import check_columns


class TRBC(ColumnRecognizer):
    """TPS-ResNet-BiLSTM-CTC.

    charset_size: characters it knows; token ids are 0 = blank, 1 to charset_size = characters.
    max_label_length: the longest text, in characters, at most W // 4 + 1. The rest is
        `ColumnRecognizer`'s.
    """

    tokenizer = "ctc"
    marker = "Prediction.weight"  # a parameter that only this architecture has
    not_in_weights = ("max_label_length", "img_size")

    def prediction(self, charset_size: int, hidden_size: int) -> nn.Module:
        """Build a layer that predicts the character of each column independently."""
        check_columns(self.img_size[1] // 4 + 1, self.max_label_length)
        return nn.Linear(hidden_size, charset_size + 1)

    def forward(self, images: Tensor, max_length: int | None = None) -> Tensor:
        """Read images (B, 3, H, W), normalized, to logits (B, W // 4 + 1, charset_size + 1), one a
        column.

        max_length has no effect: every column is read, whatever the length of the text.
        """
        return self.Prediction(self.columns(images))

    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the sizes that bare weights tell. The label length is as published, since no
        tensor shows it.
        """
        charset_size = weights["Prediction.bias"].shape[0] - 1
        return {
            "charset_size": charset_size,
            "max_label_length": 25,
            **ColumnRecognizer.stage_sizes(weights),
        }
