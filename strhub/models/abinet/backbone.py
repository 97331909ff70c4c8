"""ABINet's feature extractor: ResNet-45, then transformer units over all places of the image
(section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from strhub.models.abinet.transformer import EncoderUnit, PositionalEncoding, Stack, UnitSizes

STRIDE = 4  # by how much an image shrinks, in both directions
_DEPTHS = (3, 4, 6, 6, 3)
_STRIDES = (2, 1, 2, 1, 1)


class Block(nn.Module):
    """A 1 x 1 and a 3 x 3 convolution with a shortcut."""

    def __init__(self, source: int, target: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(source, target, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(target)
        self.conv2 = nn.Conv2d(target, target, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(target)
        self.downsample: nn.Module | None = None
        if stride != 1 or source != target:
            shortcut = nn.Conv2d(source, target, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(target))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / stride, W / stride)."""
        shortcut = features if self.downsample is None else self.downsample(features)
        features = F.relu(self.bn1(self.conv1(features)))
        return F.relu(self.bn2(self.conv2(features)) + shortcut)


class ResNet45(nn.Module):
    """Five stages that end in `embed_dim` channels, each stage with half of the next one's (Shi et
    al. 2018, ASTER).
    """

    def __init__(self, *, embed_dim: int) -> None:
        super().__init__()
        if embed_dim % 16:
            raise ValueError(f"d_model is {embed_dim}: the backbone needs a multiple of 16")
        channels = [embed_dim // 16 * 2**stage for stage in range(5)]
        self.conv1 = nn.Conv2d(3, channels[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        sources = [channels[0], *channels[:-1]]
        stages = [
            nn.Sequential(
                Block(source, target, stride=stride),
                *(Block(target, target, stride=1) for _ in range(1, depth)),
            )
            for source, target, stride, depth in zip(
                sources, channels, _STRIDES, _DEPTHS, strict=True
            )
        ]
        self.layer1, self.layer2, self.layer3, self.layer4, self.layer5 = stages

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, D, H / 4, W / 4)."""
        features = F.relu(self.bn1(self.conv1(images)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4, self.layer5):
            features = stage(features)
        return features


class TransformerBackbone(nn.Module):
    """ResNet-45, positions and transformer units; `grid` is the size of the features, (H / 4, W /
    4).
    """

    def __init__(self, *, grid: Sequence[int], sizes: UnitSizes, depth: int) -> None:
        super().__init__()
        self.resnet = ResNet45(embed_dim=sizes.embed_dim)
        self.pos_encoder = PositionalEncoding(
            length=grid[0] * grid[1], embed_dim=sizes.embed_dim, dropout=sizes.dropout
        )
        self.transformer = Stack(EncoderUnit(sizes) for _ in range(depth))

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, D, H / 4, W / 4)."""
        features = self.resnet(images)
        tokens = features.flatten(2).transpose(1, 2)  # (B, D, H', W') -> (B, D, N) -> (B, N, D)
        tokens = self.transformer(self.pos_encoder(tokens))
        return tokens.transpose(1, 2).unflatten(
            2, features.shape[2:]
        )  # (B, N, D) -> (B, D, N) -> (B, D, H', W')
