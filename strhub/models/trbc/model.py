"""The TRBC network: transformation, ResNet, BiLSTM, CTC (Baek et al. 2019, section 3 and Figure 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from strhub.models.layers.columns import ColumnEncoder
from strhub.models.layers.ctc import check_columns


class TRBC(ColumnEncoder):
    """TPS-ResNet-BiLSTM-CTC.

    charset_size: characters it knows; token ids are 0 = blank, 1 to charset_size = characters.
    max_label_length: the longest text, in characters, at most W // 4 + 1. The rest is `ColumnEncoder`'s.
    """

    tokenizer = "ctc"
    decoding_options = ()
    marker = "Prediction.weight"  # a parameter that only this architecture has

    def __init__(
        self,
        *,
        charset_size: int,
        max_label_length: int,
        img_size: Sequence[int],
        num_fiducial: int,
        output_channel: int,
        hidden_size: int,
        localization_channel: int = 512,
    ) -> None:
        super().__init__(
            img_size=img_size,
            num_fiducial=num_fiducial,
            output_channel=output_channel,
            hidden_size=hidden_size,
            localization_channel=localization_channel,
        )
        check_columns(img_size[1] // 4 + 1, max_label_length)
        self.Prediction = nn.Linear(hidden_size, charset_size + 1)

    def forward(self, images: Tensor, max_length: int | None = None) -> Tensor:
        """Read pictures (B, 3, H, W), normalised, to logits (B, W // 4 + 1, charset_size + 1), one a column.

        max_length has no effect: every column is read, whatever the length of the text.
        """
        return self.Prediction(self.columns(images))

    @staticmethod
    def sizes_of(weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """The sizes that bare weights tell. The label length is as published, since no tensor shows it."""
        charset_size = weights["Prediction.bias"].shape[0] - 1
        return {"charset_size": charset_size, "max_label_length": 25, **ColumnEncoder.stage_sizes(weights)}
