"""A light convolutional encoder of words and lines: an image of any width to a token every 8
columns.

The shape is that of PP-OCRv6's small recognizer (PaddleOCR, 2026; its predecessors: PP-LCNet, Cui
et al. 2021; RepViT, Wang et al. 2023; SVTR, Du et al. 2022), with each batch norm folded into the
convolution before it, as published weights have it: a stem that halves the size twice, depthwise
blocks that halve the height twice, and a neck in which columns attend to each other.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from strhub.models.layers.attention import attend_all

COLUMN_WIDTH: Final = 8  # pixels a token
HEIGHT: Final = 48  # pixels, of the images that it takes
TOKEN_DIM: Final = 120
CHANNELS: Final = (96, 192, 384)  # of each stage
DEPTHS: Final = (3, 6, 2)  # blocks of each stage, less the one that leads into it
HEADS: Final = 8


class Stem(nn.Module):
    """Convolutions to a quarter of the height and width, with a pooled branch beside two small
    kernels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 48, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(48, 24, 2)
        self.conv3 = nn.Conv2d(24, 48, 2)
        self.conv4 = nn.Conv2d(96, 48, 3, stride=2, padding=1)
        self.conv5 = nn.Conv2d(48, CHANNELS[0], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, 96, H / 4, W / 4) of images (B, 3, H, W)."""
        halves = F.relu(self.conv1(images))  # (B, 48, H / 2, W / 2)
        pooled = F.max_pool2d(_padded(halves), 2, stride=1)
        convolved = F.relu(self.conv3(_padded(F.relu(self.conv2(_padded(halves))))))
        quarters = F.relu(
            self.conv4(torch.cat([pooled, convolved], dim=1))
        )  # (B, 48, H / 4, W / 4)
        return F.relu(self.conv5(quarters))


class ChannelAttention(nn.Module):
    """Squeeze and excitation: each channel weighed by what all of the image holds (Hu et al.
    2018).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 4, 1)
        self.expand = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape, (B, D, H, W)."""
        mean = features.mean((2, 3), keepdim=True)  # (B, D, 1, 1)
        return features * F.hardsigmoid(self.expand(F.relu(self.reduce(mean))))


class Block(nn.Module):
    """Mix places by a depthwise convolution, then channels by two pointwise ones.

    Where the number of channels changes, the height is halved and the second part has no residual
    connection.
    """

    def __init__(self, source: int, target: int, *, attend: bool) -> None:
        super().__init__()
        self.residual = source == target
        stride = (1, 1) if self.residual else (2, 1)
        self.depthwise = nn.Conv2d(source, source, 3, stride=stride, padding=1, groups=source)
        self.attention = ChannelAttention(source) if attend else nn.Identity()
        self.expand = nn.Conv2d(source, 2 * source, 1)
        self.project = nn.Conv2d(2 * source, target, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return features (B, D', H', W) of features (B, D, H, W)."""
        features = self.attention(self.depthwise(features))
        mixed = self.project(F.gelu(self.expand(features)))
        return features + mixed if self.residual else mixed


class TokenBlock(nn.Module):
    """Pre-norm self-attention and MLP over the columns of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(TOKEN_DIM)
        self.qkv = nn.Linear(TOKEN_DIM, 3 * TOKEN_DIM)
        self.out = nn.Linear(TOKEN_DIM, TOKEN_DIM)
        self.norm2 = nn.LayerNorm(TOKEN_DIM)
        self.fc1 = nn.Linear(TOKEN_DIM, 2 * TOKEN_DIM)
        self.fc2 = nn.Linear(2 * TOKEN_DIM, TOKEN_DIM)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape, (B, L, D)."""
        qkv = self.qkv(self.norm1(tokens)).unflatten(-1, (3, HEADS, -1))  # (B, L, 3, H, D / H)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (B, H, L, D / H) each
        mixed = attend_all(query, key, value)
        tokens = tokens + self.out(mixed.transpose(1, 2).flatten(2))
        return tokens + self.fc2(F.silu(self.fc1(self.norm2(tokens))))


class Neck(nn.Module):
    """Features to tokens, which attend to each other, with a way around them."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(CHANNELS[-1], TOKEN_DIM, 1)
        self.local = nn.Conv2d(TOKEN_DIM, TOKEN_DIM, (1, 7), padding=(0, 3), groups=TOKEN_DIM)
        self.blocks = nn.ModuleList(TokenBlock() for _ in range(2))
        self.norm = nn.LayerNorm(TOKEN_DIM, eps=1e-6)
        self.shortcut = nn.Conv2d(CHANNELS[-1], TOKEN_DIM, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return tokens (B, L, 120) of features (B, 384, 1, L)."""
        columns = F.silu(self.reduce(features))
        columns = columns + F.silu(self.local(columns))
        tokens = columns.squeeze(2).transpose(1, 2)  # (B, L, D)
        for block in self.blocks:
            tokens = block(tokens)
        around = F.silu(self.shortcut(features)).squeeze(2).transpose(1, 2)
        return self.norm(tokens) + around


class LightConvEncoder(nn.Module):
    """Stem, blocks and neck."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Stem()
        blocks: list[Block] = []
        for stage, (channels, depth) in enumerate(zip(CHANNELS, DEPTHS, strict=True)):
            if stage:
                blocks.append(Block(CHANNELS[stage - 1], channels, attend=False))
            attending = range(0, depth - 1, 2)  # every second block, but never the last
            blocks += [
                Block(channels, channels, attend=number in attending) for number in range(depth)
            ]
        self.blocks = nn.Sequential(*blocks)
        self.neck = Neck()

    def forward(self, images: Tensor) -> Tensor:
        """Return tokens (B, W / 8, 120) of images (B, 3, 48, W), W a multiple of 8."""
        return self.neck(self.convolved(images))

    def convolved(self, images: Tensor) -> Tensor:
        """Return features (B, 384, 1, W / 8) of images, which are yet to attend to each other."""
        features = self.blocks(self.stem(images))  # (B, 384, 3, W / 4)
        return F.avg_pool2d(features, (3, 2))


def _padded(features: Tensor) -> Tensor:
    """Return features (B, D, H, W) with zeros below and on the right, so that kernels of 2 keep the
    size.
    """
    return F.pad(features, (0, 1, 0, 1))
