"""A package with timm's interface and three small backbones: a map, a map with its channels last,
and tokens.
"""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

NAMES = ("mapnet", "lastnet", "tokenet")
REDUCTION = 8


class Backbone(nn.Module):
    """A convolution that shrinks an image eight times, and a classifier's layer that
    `forward_features` leaves out.
    """

    def __init__(self, name: str, img_size: tuple[int, int] | None) -> None:
        super().__init__()
        self.kind = name.partition(".")[0]
        self.feature_info = [{"num_chs": 16, "reduction": REDUCTION}]
        self.stem = nn.Conv2d(3, 16, REDUCTION, REDUCTION)
        self.norm = nn.BatchNorm2d(16)
        self.conv_head = nn.Conv2d(16, 32, 1)
        self.output_fmt = "NHWC" if self.kind == "lastnet" else "NCHW"
        if self.kind == "tokenet":
            assert img_size is not None
            self.num_prefix_tokens = 1
            grid = (img_size[0] // REDUCTION, img_size[1] // REDUCTION)
            self.patch_embed = nn.Identity()
            self.patch_embed.grid_size = grid  # type: ignore[assignment]
            self.cls_token = nn.Parameter(torch.zeros(1, 1, 16))
            self.pos_embed = nn.Parameter(torch.zeros(1, grid[0] * grid[1], 16))

    def forward_features(self, images: Tensor) -> Tensor:
        features = self.norm(self.stem(images))
        if self.kind == "mapnet":
            return features
        if self.kind == "lastnet":
            return features.permute(0, 2, 3, 1)
        tokens = features.flatten(2).transpose(1, 2) + self.pos_embed
        return torch.cat([self.cls_token.expand(images.shape[0], -1, -1), tokens], dim=1)


class FakeTimm(ModuleType):
    """The functions that strhub calls. asked: whether each model that was made was to be
    pretrained.
    """

    __version__ = "1.0"

    def __init__(self) -> None:
        super().__init__("timm")
        self.asked: list[bool] = []

    def create_model(
        self, name: str, *, pretrained: bool, num_classes: int, **sizes: Any
    ) -> Backbone:
        self.asked.append(pretrained)
        assert num_classes == 0
        made = Backbone(
            name, sizes.get("img_size", (224, 224) if name.startswith("token") else None)
        )
        if pretrained:
            made.stem.weight.data.fill_(0.5)
        return made

    def is_model(self, name: str) -> bool:
        return name.partition(".")[0] in NAMES

    def list_models(self) -> list[str]:
        return list(NAMES)

    def get_pretrained_cfg(self, name: str) -> SimpleNamespace | None:
        if name.partition(".")[2] not in ("", "tag", "unit"):
            return None
        usual = {"mapnet": 0.485, "lastnet": 0.5, "tokenet": 0.48145466}[name.partition(".")[0]]
        mean = 0.0 if name.endswith(".unit") else usual
        return SimpleNamespace(fixed_input_size=name.startswith("token"), mean=(mean,) * 3)
