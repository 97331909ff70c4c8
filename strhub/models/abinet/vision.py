"""ABINet's vision model: an image to a first estimate of its text (section 3.1 of the paper)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from strhub.models.abinet.backbone import STRIDE, ResNet45, TransformerBackbone
from strhub.models.abinet.transformer import Estimate, PositionalEncoding, UnitSizes

_BACKBONES = ("transformer", "resnet")
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


class PositionAttention(nn.Module):
    """Each character position looks for its place in the image, all at once.

    Queries are positions; keys come from the features by a small U-Net; values are the features
    themselves (figure 3).
    mode: how the U-Net enlarges.
    """

    def __init__(self, *, steps: int, embed_dim: int, mode: str) -> None:
        super().__init__()
        if mode not in _INTERPOLATIONS:
            raise ValueError(
                f"v_attention_mode is {mode!r}: it must be one of {', '.join(_INTERPOLATIONS)}"
            )
        self.mode = mode
        self.align_corners = None if mode == "nearest" else True
        narrow = embed_dim // 8
        self.k_encoder = nn.ModuleList(
            [
                _convolution(embed_dim, narrow, stride=(1, 2)),
                *(_convolution(narrow, narrow, stride=(2, 2)) for _ in "234"),
            ]
        )
        self.k_decoder = nn.ModuleList(
            # Numbered from 1, as in the published weights, where number 0 is the enlargement.
            [
                *(_convolution(narrow, narrow, first=1) for _ in "123"),
                _convolution(narrow, embed_dim, first=1),
            ]
        )
        self.pos_encoder = PositionalEncoding(length=steps, embed_dim=embed_dim)
        self.project = nn.Linear(embed_dim, embed_dim)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, D, H', W') to one vector a position, (B, T, D)."""
        query = self.project(self.pos_encoder.table()).expand(
            features.shape[0], -1, -1
        )  # (B, T, D)
        key = self._keys(features).flatten(2).transpose(1, 2)  # (B, D, H', W') -> (B, N, D)
        value = features.flatten(2).transpose(1, 2)
        return F.scaled_dot_product_attention(query, key, value)

    def _keys(self, features: Tensor) -> Tensor:
        """Return the U-Net: (B, D, H', W') to the same."""
        keys, sources = features, []
        for shrink in self.k_encoder:
            sources.append(keys)
            keys = shrink(keys)
        for enlarge, source in zip(self.k_decoder, reversed(sources), strict=True):
            size = source.shape[2:]
            keys = enlarge(
                F.interpolate(keys, size=size, mode=self.mode, align_corners=self.align_corners)
            )
            if source is not features:
                keys = keys + source
        return keys


def _convolution(
    source: int, target: int, *, stride: tuple[int, int] = (1, 1), first: int = 0
) -> nn.Sequential:
    """Return a 3 x 3 convolution, norm and activation, as sub-modules `first`, `first` + 1 and
    `first` + 2.
    """
    layers = (
        nn.Conv2d(source, target, 3, stride=stride, padding=1),
        nn.BatchNorm2d(target),
        nn.ReLU(),
    )
    return nn.Sequential(
        OrderedDict((str(first + number), layer) for number, layer in enumerate(layers))
    )


class ParallelAttention(nn.Module):
    """The lighter attention of the small vision model (ABINet-SV), by learned reading orders.

    Yu et al. 2020, "Toward Accurate Scene Text Recognition with Semantic Reasoning Networks",
    section 3.2.
    places: N, how many the features have.
    """

    def __init__(self, *, steps: int, embed_dim: int, positions: int) -> None:
        super().__init__()
        self.f0_embedding = nn.Embedding(steps, embed_dim)
        self.w0 = nn.Linear(steps, positions)
        self.wv = nn.Linear(embed_dim, embed_dim)
        self.we = nn.Linear(embed_dim, steps)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, D, H', W') to one vector a position, (B, T, D)."""
        tokens = features.flatten(2).transpose(1, 2)  # (B, D, H', W') -> (B, N, D)
        order = self.w0(self.f0_embedding.weight.t()).t()  # (T, D) -> (D, T) -> (D, N) -> (N, D)
        scores = self.we(torch.tanh(order + self.wv(tokens)))  # (B, N, T)
        return scores.softmax(1).transpose(1, 2) @ tokens


class VisionModel(nn.Module):
    """Backbone, attention of character positions to places, classifier.

    attention: `position`, the paper's, or `attention`, the small model's; attention_mode: of the
        first;
    backbone: `transformer`, or `resnet` for the convolutions alone.
    """

    def __init__(
        self,
        *,
        img_size: Sequence[int],
        steps: int,
        classes: int,
        sizes: UnitSizes,
        depth: int,
        backbone: str,
        attention: str,
        attention_mode: str,
    ) -> None:
        super().__init__()
        self.img_size = (img_size[0], img_size[1])
        if any(side % STRIDE or side < STRIDE for side in self.img_size):
            raise ValueError(
                f"img_size {list(img_size)}: height and width must be multiples of {STRIDE}"
            )
        if backbone not in _BACKBONES:
            raise ValueError(
                f"v_backbone is {backbone!r}: it must be one of {', '.join(_BACKBONES)}"
            )
        grid = (self.img_size[0] // STRIDE, self.img_size[1] // STRIDE)
        self.backbone: nn.Module = ResNet45(embed_dim=sizes.embed_dim)
        if backbone == "transformer":
            self.backbone = TransformerBackbone(grid=grid, sizes=sizes, depth=depth)
        self.attention: nn.Module
        if attention == "position":
            self.attention = PositionAttention(
                steps=steps, embed_dim=sizes.embed_dim, mode=attention_mode
            )
        elif attention == "attention":
            self.attention = ParallelAttention(
                steps=steps, embed_dim=sizes.embed_dim, positions=grid[0] * grid[1]
            )
        else:
            raise ValueError(f"v_attention is {attention!r}: it must be 'position' or 'attention'")
        self.cls = nn.Linear(sizes.embed_dim, classes)

    def forward(self, images: Tensor) -> Estimate:
        """Map images (B, 3, H, W), normalized, to T characters each."""
        if tuple(images.shape[1:]) != (3, *self.img_size):
            raise ValueError(
                f"the model takes images of shape (B, 3, {self.img_size[0]}, {self.img_size[1]}), "
                f"not {tuple(images.shape)}: use get_transform(model.hparams.img_size)"
            )
        features = self.attention(self.backbone(images))  # (B, T, D)
        return Estimate(features, self.cls(features))
