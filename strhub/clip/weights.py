"""CLIP's files to weights: OpenAI's and open_clip's, which share their names, to those of
`strhub.models.layers.clip`.

In: a path. Out: float32 tensors by the names of our towers, and the sizes that they tell. No code
    in a file is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from strhub.checkpoint.clip_names import (
    HEAD_SIZE,
    IMAGE_NAMES,
    TEXT_NAMES,
    as_ours,
    depth_of,
    renamed,
)
from strhub.checkpoint.formats import CheckpointError
from strhub.checkpoint.resizing import resize_grid
from strhub.checkpoint.states import read_state
from strhub.models.layers.clip import ClipTextTower

DECODER_HEAD_SIZE = 32  # of PARSeq as published


class ClipWeights(NamedTuple):
    """image, text: weights of the towers by our names, text empty if the file has no such tower;
    path: the file.
    """

    image: dict[str, Tensor]
    text: dict[str, Tensor]
    path: Path

    def image_sizes(self) -> dict[str, Any]:
        """Return the image tower's sizes and what follows for a decoder, by the names of PARSeq's
        hyper-parameters.
        """
        width, _, *patch = self.image["patch_embed.proj.weight"].shape
        return {
            "patch_size": list(patch),
            "embed_dim": self.image["projection.weight"].shape[0],
            "enc_embed_dim": width,
            "enc_depth": depth_of(self.image),
            "enc_num_heads": max(1, width // HEAD_SIZE),
            "enc_mlp_ratio": self.image["blocks.0.mlp.fc1.weight"].shape[0] / width,
            "dec_num_heads": max(1, self.image["projection.weight"].shape[0] // DECODER_HEAD_SIZE),
        }

    def text_sizes(self) -> dict[str, Any]:
        """Return the text tower's sizes, likewise; `CheckpointError` if the file has none."""
        vocab_size, width = self._text()["token_embedding.weight"].shape
        return {
            "text_embed_dim": width,
            "text_depth": depth_of(self.text),
            "text_vocab_size": vocab_size,
        }

    def image_state(self, grid: tuple[int, int]) -> dict[str, Tensor]:
        """Return the image tower's weights for images of so many rows and columns of patches,
        positions interpolated.
        """
        positions = self.image["pos_embed"]  # (1, 1 + N, D)
        side = round((positions.shape[1] - 1) ** 0.5)
        if side * side != positions.shape[1] - 1:
            raise CheckpointError(
                f"{self.path}: its positions are not those of a square of patches"
            )
        patches = resize_grid(positions[0, 1:], (side, side), grid).unsqueeze(0)
        return {**self.image, "pos_embed": torch.cat([positions[:, :1], patches], dim=1)}

    def text_tower(self, activation: str) -> ClipTextTower:
        """Return the text tower with its weights; `CheckpointError` if the file has none."""
        vocab_size, width = self._text()["token_embedding.weight"].shape
        tower = ClipTextTower(
            vocab_size=vocab_size,
            context_length=self.text["pos_embed"].shape[0],
            embed_dim=width,
            depth=depth_of(self.text),
            num_heads=max(1, width // HEAD_SIZE),
            output_dim=self.text["projection.weight"].shape[0],
            mlp_ratio=self.text["blocks.0.mlp.fc1.weight"].shape[0] / width,
            activation=activation,
        )
        tower.load_state_dict(self.text)
        return tower

    def _text(self) -> dict[str, Tensor]:
        if not self.text:
            raise CheckpointError(f"{self.path} has no text tower, which is needed of it")
        return self.text


def read_clip(path: str | Path) -> ClipWeights:
    """Return a CLIP in a file of OpenAI's (TorchScript or a state dictionary) or open_clip's
    (safetensors, .pt or .bin).

    Raises `CheckpointError` for a file that is no CLIP with a vision transformer, damaged, or not
    safe to read.
    """
    path = Path(path)
    state = read_state(path)
    image = renamed(state, "visual.", IMAGE_NAMES)
    text_prefix = "text." if any(name.startswith("text.") for name in state) else ""
    text = renamed(state, text_prefix, TEXT_NAMES)
    missing = [theirs for theirs, ours in IMAGE_NAMES.items() if ours not in image]
    if missing or "blocks.0.norm1.weight" not in image:
        raise CheckpointError(
            f"{path} has no visual.{(missing or ['transformer'])[0]}: {_kind_of(state)}"
        )
    if not {*TEXT_NAMES.values()} <= {*text}:
        text = {}
    as_ours(image, text)
    return ClipWeights(image, text, path)


def _kind_of(state: Iterable[str]) -> str:
    """Return what weights that are not of CLIP's vision transformer are, and what to do."""
    names = [*state]
    if any(name.startswith("visual.trunk.") for name in names):
        return (
            "its image tower is one of timm's. Name that, with this file as pretrained_encoder: "
            "for ViT-B-16-SigLIP model.encoder=timm/vit_base_patch16_siglip_224"
        )
    tower = any("visual.layer1" in name for name in names)
    kind = "its image tower is a ResNet" if tower else "it is not a CLIP"
    return f"{kind} of a kind known here"


def grid_of(img_size: Sequence[int], patch_size: Sequence[int]) -> tuple[int, int]:
    """Return rows and columns of patches of an image."""
    return img_size[0] // patch_size[0], img_size[1] // patch_size[1]
