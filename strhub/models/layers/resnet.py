"""The residual network of Cheng et al. 2017 ("Focusing Attention", Table 1), as Baek et al. 2019
use it.

29 convolutions. The last stages halve the height only, so that narrow characters keep columns of
their own.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and a short cut, 1 x 1 where the number of channels changes (He et al.
    2016).
    """

    def __init__(self, *, input_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        nn.init.zeros_(
            self.bn2.weight
        )  # begin as the short cut alone (Goyal et al. 2017, section 5.1)
        self.downsample: nn.Module = nn.Identity()
        if input_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(input_channels, channels, 1, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, input_channels, H, W) to (B, channels, H, W)."""
        hidden = F.relu(self.bn1(self.conv1(features)))
        return F.relu(self.bn2(self.conv2(hidden)) + self.downsample(features))


class ResNet(nn.Sequential):
    """Images (B, 3, H, W) to features (B, output_channel, H // 16 - 1, W // 4 + 1).

    output_channel: a multiple of 16; the first layers have fractions of it.
    """

    def __init__(self, *, output_channel: int) -> None:
        if output_channel % 16:
            raise ValueError(f"output_channel is {output_channel}: it must be a multiple of 16")
        narrow, middle, wide = output_channel // 4, output_channel // 2, output_channel
        super().__init__(
            OrderedDict(
                [
                    *_convolution("0_1", 3, output_channel // 16),
                    *_convolution("0_2", output_channel // 16, output_channel // 8),
                    ("maxpool1", nn.MaxPool2d(2)),  # H / 2, W / 2
                    ("layer1", _blocks(1, output_channel // 8, narrow)),
                    *_convolution("1", narrow, narrow),
                    ("maxpool2", nn.MaxPool2d(2)),  # H / 4, W / 4
                    ("layer2", _blocks(2, narrow, middle)),
                    *_convolution("2", middle, middle),
                    (
                        "maxpool3",
                        nn.MaxPool2d(2, stride=(2, 1), padding=(0, 1)),
                    ),  # H / 8, W / 4 + 1
                    ("layer3", _blocks(5, middle, wide)),
                    *_convolution("3", wide, wide),
                    ("layer4", _blocks(3, wide, wide)),
                    *_convolution(
                        "4_1", wide, wide, kernel=2, stride=(2, 1), padding=(0, 1)
                    ),  # H / 16, W / 4 + 2
                    *_convolution("4_2", wide, wide, kernel=2, padding=0),  # H / 16 - 1, W / 4 + 1
                ]
            )
        )


def _convolution(
    name: str,
    input_channels: int,
    channels: int,
    kernel: int = 3,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 1,
) -> list[tuple[str, nn.Module]]:
    """Return a convolution, its batch norm and ReLU, named."""
    return [
        (
            f"conv{name}",
            nn.Conv2d(input_channels, channels, kernel, stride=stride, padding=padding, bias=False),
        ),
        (f"bn{name}", nn.BatchNorm2d(channels)),
        (f"relu{name}", nn.ReLU()),
    ]


def _blocks(count: int, input_channels: int, channels: int) -> nn.Sequential:
    """Build that many blocks, the first of which changes the number of channels."""
    return nn.Sequential(
        *(
            ResidualBlock(
                input_channels=input_channels if index == 0 else channels, channels=channels
            )
            for index in range(count)
        )
    )
