"""The CRNN network: convolutions, recurrent layers, transcription (sections 2.1 to 2.3 and Figure 1
of the paper).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from strhub.models.layers.convolution import check_height, check_image_size, initialize_convolutions
from strhub.models.layers.ctc import check_columns
from strhub.models.layers.recurrent import BidirectionalLSTM
from strhub.models.network import Network


class CRNN(Network):
    """Convolutional recurrent neural network.

    charset_size: characters it knows; token ids are 0 = blank, 1 to charset_size = characters.
    max_label_length: the longest text, in characters, at most W // 4 + 1.
    img_size: height and width in pixels, the height at least 32.
    hidden_size: of the recurrent layers, in each direction. output_channel: of the convolutions,
        512 in the paper.
    leaky_relu: let a fifth of what is below zero through.
    """

    tokenizer = "ctc"
    marker = "cnn.conv0.weight"  # a parameter that only this architecture has
    not_in_weights = ("max_label_length", "img_size", "leaky_relu")

    def __init__(
        self,
        *,
        charset_size: int,
        max_label_length: int,
        img_size: Sequence[int],
        hidden_size: int,
        leaky_relu: bool,
        output_channel: int = 512,
    ) -> None:
        super().__init__()
        height, width = img_size
        check_height(height)
        check_columns(width // 4 + 1, max_label_length)
        self.img_size = (height, width)
        self.cnn = convolutions(output_channel, leaky_relu)
        self.rnn = nn.Sequential(
            BidirectionalLSTM(
                input_size=output_channel, hidden_size=hidden_size, output_size=hidden_size
            ),
            BidirectionalLSTM(
                input_size=hidden_size, hidden_size=hidden_size, output_size=charset_size + 1
            ),
        )
        initialize_convolutions(self)

    def forward(self, images: Tensor, max_length: int | None = None) -> Tensor:
        """Read images (B, 3, H, W), normalized, to logits (B, W // 4 + 1, charset_size + 1), one a
        column.

        max_length has no effect: every column is read, whatever the length of the text.
        """
        check_image_size(images, self.img_size)
        features = self.cnn(images)  # (B, output_channel, H', W'); H' is 1 for images 32 high
        columns = features.mean(2).transpose(
            1, 2
        )  # (B, output_channel, W') -> (B, W', output_channel)
        return self.rnn(columns)

    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the sizes that bare weights tell. Label length, image and ReLU are as published:
        no tensor shows them.
        """
        return {
            "charset_size": weights["rnn.1.linear.bias"].shape[0] - 1,
            "max_label_length": 25,
            "img_size": [32, 128],
            "hidden_size": weights["rnn.0.linear.weight"].shape[0],
            "leaky_relu": False,
            "output_channel": weights["cnn.conv6.weight"].shape[0],
        }


def convolutions(output_channel: int, leaky_relu: bool) -> nn.Sequential:
    """Build the convolutions of the paper's Table 1, for color: images (B, 3, H, W) to (B,
    output_channel, H // 16 - 1, W // 4 + 1).

    The last two poolings halve the height only, so that narrow characters keep columns of their
    own.
    """
    eighth, quarter, half = output_channel // 8, output_channel // 4, output_channel // 2
    channels = (3, eighth, quarter, half, half, output_channel, output_channel, output_channel)
    poolings = {0: nn.MaxPool2d(2), 1: nn.MaxPool2d(2)}
    poolings |= {index: nn.MaxPool2d(2, stride=(2, 1), padding=(0, 1)) for index in (3, 5)}
    normalized = (2, 4, 6)
    layers: list[tuple[str, nn.Module]] = []
    for index, (source, target) in enumerate(pairwise(channels)):
        kernel, padding = (2, 0) if index == 6 else (3, 1)
        layers.append(
            (
                f"conv{index}",
                nn.Conv2d(source, target, kernel, padding=padding, bias=index not in normalized),
            )
        )
        if index in normalized:
            layers.append((f"batchnorm{index}", nn.BatchNorm2d(target)))
        layers.append((f"relu{index}", nn.LeakyReLU(0.2) if leaky_relu else nn.ReLU()))
        if index in poolings:
            layers.append((f"pooling{index}", poolings[index]))
    return nn.Sequential(OrderedDict(layers))
