"""Networks that were made for other ends as encoders: what they give of an image becomes tokens of
a decoder's size.

`ColumnEncoder` is the light convolutional encoder of `strhub.models.layers.light_conv`, which takes
images of any width; `TimmEncoder` is any backbone of timm's, a convolutional network or a vision
transformer.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from strhub.models.layers.light_conv import COLUMN_WIDTH, HEIGHT, TOKEN_DIM, LightConvEncoder
from strhub.models.layers.timm_models import _timm, check_name, create
from strhub.models.layers.widths import pad_columns, padded_width

CELLS = (4, 16)
"""Rows and columns of the last feature map that images are given by default: as many tokens as a
word of usual length needs.
"""
_USUAL_REDUCTION = 32
# The means that timm's weights were trained with, by the name of the preset that has them.
_MEANS = {"default": 0.5, "imagenet": 0.485, "clip": 0.48145466, "unit": 0.0}


class BackboneEncoder(nn.Module):
    """A backbone, and its tokens normed and projected to the decoder's size.

    backbone: what may have been trained for something else; token_dim: of its tokens; output_dim:
    of the decoder.
    """

    backbone: nn.Module

    def __init__(self, backbone: nn.Module, *, token_dim: int, output_dim: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.norm = nn.LayerNorm(token_dim)
        self.projection = nn.Linear(token_dim, output_dim)

    def project(self, tokens: Tensor) -> Tensor:
        """Return tokens (B, N, D) of the decoder's size, of the backbone's (B, N, token_dim)."""
        return self.projection(self.norm(tokens))

    def trunk(self, images: Tensor) -> Tensor | None:
        """Return the backbone's own tokens (B, N, token_dim) of images, of which `place` makes what
        `forward` returns; None for an encoder that has no such halves.
        """
        return None

    def place(self, tokens: Tensor) -> Tensor:
        """Return the encoder's tokens (B, N, D), of the backbone's (B, N, token_dim)."""
        return self.project(tokens)


class CustomEncoder(BackboneEncoder, ABC):
    """An encoder of one's own: the class `Encoder` of a module `encoder_<name>` in
    `strhub/models/parseq`, which `model.encoder=<name>` finds. docs/extending.md adds one.

    Its constructor takes by keyword `img_size`, [height, width] in pixels, and `output_dim`, of the
    decoder.
    """

    image_size: ClassVar[tuple[int, int]]
    """Height and width of its images in pixels, where `model.img_size` is null."""

    normalize: ClassVar[str] = "default"
    """Name of the preset by which its images are normalized, where `data.normalize` is null."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Return the tokens (B, N, output_dim) of images (B, 3, H, W), normalized."""

    @abstractmethod
    def grid_size(self, images: Tensor) -> tuple[int, int]:
        """Return the rows and columns that the last tokens of images (B, 3, H, W) stand for."""


class ColumnEncoder(BackboneEncoder):
    """Images 48 pixels high, of any width, to a token every 8 columns, with sines of its column
    added.

    img_size: height in pixels, 48, and the greatest width. output_dim: of the decoder.
    """

    backbone: LightConvEncoder
    positions: Tensor

    def __init__(self, *, img_size: Sequence[int], output_dim: int) -> None:
        if img_size[0] != HEIGHT:
            raise ValueError(
                f"img_size: the encoder ppocrv6_small takes images {HEIGHT} high, not {img_size[0]}"
            )
        super().__init__(LightConvEncoder(), token_dim=TOKEN_DIM, output_dim=output_dim)
        columns = padded_width(img_size[1]) // COLUMN_WIDTH
        self.register_buffer(
            "positions", sines(columns, output_dim), persistent=False
        )  # (1, columns, D)

    def forward(self, images: Tensor) -> Tensor:
        """Return tokens (B, W' / 8, D) of images (B, 3, 48, W), normalized; W' by `padded_width`.

        NaN on the right of the narrower ones counts as the zeros that follow it.
        """
        return self.place(self.trunk(images))

    def trunk(self, images: Tensor) -> Tensor:
        """Return the network's own tokens (B, W' / 8, 120) of images."""
        if images.shape[1:3] != (3, HEIGHT) or not images.shape[3]:
            raise ValueError(
                f"the model takes images of shape (B, 3, {HEIGHT}, W), not {tuple(images.shape)}"
            )
        if not torch.compiler.is_exporting():
            if padded_width(images.shape[3]) > COLUMN_WIDTH * self.positions.shape[1]:
                widest = COLUMN_WIDTH * self.positions.shape[1]
                raise ValueError(
                    f"the model takes images up to {widest} pixels wide, not {images.shape[3]}"
                )
            images = images.nan_to_num(0.0)
        return self.backbone(pad_columns(images))

    def place(self, tokens: Tensor) -> Tensor:
        """Return tokens of the decoder's size (B, L, D), with the sines of their columns."""
        placed = self.project(tokens)
        return placed + self.positions[:, : placed.shape[1]].to(placed.dtype)

    def grid_size(self, images: Tensor) -> tuple[int, int]:
        """Return the rows and columns of the tokens of images (B, 3, H, W)."""
        return 1, padded_width(images.shape[3]) // COLUMN_WIDTH


class TimmEncoder(BackboneEncoder):
    """Images of one size to the tokens of a timm backbone's last feature map.

    Tokens of a convolutional network get sines of their row and column; a vision transformer has
    positions of its own, and its class and register tokens come first. name: as timm has it, with
    or without a tag; img_size: [height, width] in pixels; output_dim: of the decoder.
    """

    positions: Tensor

    def __init__(self, *, name: str, img_size: Sequence[int], output_dim: int) -> None:
        self.name, self.img_size = name, (int(img_size[0]), int(img_size[1]))
        features = look_at(name, self.img_size)
        super().__init__(
            create(name, self.img_size), token_dim=features.channels, output_dim=output_dim
        )
        self.channels_last, self._grid = features.channels_last, features.grid
        for part in features.unused:  # such as a classifier's hidden layer
            setattr(self.backbone, part, nn.Identity())
        rows, columns = features.grid
        positions = torch.zeros(1, 1, output_dim)
        if features.is_map:
            down, across = (
                sines(rows, output_dim).unsqueeze(2),
                sines(columns, output_dim).unsqueeze(1),
            )
            positions = (down + across).flatten(1, 2)  # (1, H' * W', D)
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return tokens (B, N, D) of images (B, 3, H, W), normalized, in reading order."""
        return self.place(self.trunk(images))

    def trunk(self, images: Tensor) -> Tensor:
        """Return the backbone's own tokens (B, N, token_dim) of images."""
        if tuple(images.shape[1:]) != (3, *self.img_size):
            raise ValueError(
                f"the model takes images of shape (B, 3, {self.img_size[0]}, {self.img_size[1]}), "
                f"not {tuple(images.shape)}: use get_transform(model.hparams.img_size)"
            )
        features: Tensor = self.backbone.forward_features(images)  # type: ignore[operator]
        if features.ndim == 4:  # (B, D, H', W') or (B, H', W', D)
            features = (
                features.flatten(1, 2)
                if self.channels_last
                else features.flatten(2).transpose(1, 2)
            )
        return features

    def place(self, tokens: Tensor) -> Tensor:
        """Return tokens of the decoder's size (B, N, D), with the sines of their places."""
        placed = self.project(tokens)
        return placed + self.positions.to(placed.dtype)

    def grid_size(self, images: Tensor) -> tuple[int, int]:
        """Return the rows and columns of the tokens, less those that stand for no part of the
        image.
        """
        return self._grid


class Features(NamedTuple):
    """What a timm backbone gives of images of one size.

    channels: of each token; grid: rows and columns of tokens; is_map: a map (B, …) of four
    dimensions, rather than tokens; channels_last: they come last in it; unused: names of parts that
    have no part in it.
    """

    channels: int
    grid: tuple[int, int]
    is_map: bool
    channels_last: bool
    unused: tuple[str, ...]


@lru_cache(maxsize=64)
def look_at(name: str, img_size: tuple[int, int]) -> Features:
    """Return what a backbone gives of images (H, W), found without computing anything.

    Raises:
        ModuleNotFoundError: timm is not installed.
        ValueError: timm has no such backbone, or it does not take images of this size.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        backbone = create(name, img_size)
        try:
            features = backbone.eval().forward_features(torch.zeros(1, 3, *img_size))
            features.sum().backward()
        except Exception as error:  # from sizes that do not match, in whatever layer they meet
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ValueError(
                f"timm's {name} gives no features of images of {list(img_size)}: {reason}. Set "
                "model.img_size to "
                "another size, or leave it out for one that fits"
            ) from error
    learned = {child: [*module.parameters()] for child, module in backbone.named_children()}
    unused = tuple(
        child for child, own in learned.items() if own and all(one.grad is None for one in own)
    )
    if features.ndim == 4:
        last = getattr(backbone, "output_fmt", None) == "NHWC"
        _, *shape = features.shape if last else features.permute(0, 2, 3, 1).shape
        return Features(shape[2], (shape[0], shape[1]), True, last, unused)
    if features.ndim != 3:
        raise ValueError(
            f"timm's {name} gives no map of an image and no tokens, but {tuple(features.shape)}"
        )
    patches = features.shape[1] - int(getattr(backbone, "num_prefix_tokens", 0))
    grid = tuple(getattr(getattr(backbone, "patch_embed", None), "grid_size", None) or ())
    return Features(
        features.shape[2],
        grid if len(grid) == 2 and math.prod(grid) == patches else (1, patches),
        False,
        False,
        unused,
    )


@lru_cache(maxsize=64)
def usual_input(name: str) -> tuple[int, str]:
    """Return by how much a timm backbone shrinks an image, and the name of the normalization of its
    weights.

    Raises as `look_at` does.
    """
    timm = _timm()
    check_name(name)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        info = getattr(
            timm.create_model(name, pretrained=False, num_classes=0), "feature_info", None
        )
    reduction = int(info[-1].get("reduction", _USUAL_REDUCTION)) if info else _USUAL_REDUCTION
    mean = timm.get_pretrained_cfg(name).mean[0]
    preset = next(
        (preset for preset, value in _MEANS.items() if math.isclose(mean, value, abs_tol=1e-4)),
        "default",
    )
    return reduction, preset


def pretrained_state(name: str, img_size: tuple[int, int]) -> dict[str, Tensor]:
    """Return the weights that timm has published for a backbone, fetched by timm to its own cache.

    Raises `ValueError` where they are not to be had.
    """
    try:
        backbone = create(name, img_size, pretrained=True)
    except Exception as error:  # of the hub's client, of urllib, of the file system
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"timm could not give the weights of {name}: {reason}") from error
    return dict(backbone.state_dict())


def sines(length: int, dim: int) -> Tensor:
    """Return positions (1, length, dim): sines and cosines of wave lengths from 2 pi to 10,000
    times that.
    """
    rates = torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))  # (dim / 2)
    angles = torch.arange(length).unsqueeze(1) * rates  # (length, dim / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :dim].unsqueeze(0)
