"""Weights that an encoder which was made for other ends begins with, by their source."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from strhub.checkpoint.resizing import resize_grid
from strhub.checkpoint.states import read_state
from strhub.checkpoint.zoo import differences, mismatch_table, read_model
from strhub.errors import CheckpointError
from strhub.models.layers.backbones import (
    BackboneEncoder,
    ColumnEncoder,
    TimmEncoder,
    pretrained_state,
)
from strhub.weights import EMBEDDED

__all__ = ["AUTO", "load_backbone", "resolved_source"]

AUTO, OF_TIMM, OF_CLIP = "auto", "timm", "openai"
_IN_OPEN_CLIP, _POSITIONS = "visual.trunk.", "pos_embed"  # names of weights
_INSIDE = (
    "encoder.backbone.",
    "encoder.",
)  # how the names of a network's weights begin in a model of ours


def resolved_source(source: str | None, *, clip: bool, columns: bool) -> str | None:
    """Return where an encoder's weights come from, if that is left to it: of CLIP's, and of
    strhub-small's network.
    """
    if source != AUTO:
        return source
    return OF_CLIP if clip else EMBEDDED if columns else None


def load_backbone(encoder: BackboneEncoder, source: str) -> None:
    """Give an encoder's backbone its weights.

    source: of the network of strhub-small, the id, path or address of a model that has it, such as
    `strhub-small` or `ppocrv6-small`; of a timm backbone, `timm` for what timm has published under
    its name, or a file of such weights; of an encoder of one's own, a file.

    Raises:
        CheckpointError: the source has no such weights, or cannot be had.
    """
    if isinstance(encoder, ColumnEncoder):
        state = _backbone_of(read_model(source).weights)
    elif source == OF_TIMM and isinstance(encoder, TimmEncoder):
        try:
            state = pretrained_state(encoder.name, encoder.img_size)
        except ValueError as error:
            raise CheckpointError(
                f"{error}. Give a file with pretrained_encoder=<path>, or null"
            ) from error
    else:
        state = read_state(Path(source).expanduser())
        if isinstance(encoder, TimmEncoder):
            state = _fitted(_tower_of(state), encoder)
    own = encoder.backbone.state_dict()
    fitting = {
        name: tensor for name, tensor in state.items() if name in own
    }  # a classifier is not used
    if problems := differences(encoder.backbone, fitting):
        raise CheckpointError(
            f"pretrained_encoder={source} has other weights than this encoder:\n"
            f"{mismatch_table(problems)}"
        )
    encoder.backbone.load_state_dict(fitting)


def _backbone_of(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a model's encoder, by their names in it."""
    prefix = next(
        (prefix for prefix in _INSIDE if any(name.startswith(prefix) for name in weights)), ""
    )
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }


def _tower_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a timm backbone by its own names, also from a file of open_clip's."""
    inside = {
        name.removeprefix(_IN_OPEN_CLIP): tensor
        for name, tensor in state.items()
        if name.startswith(_IN_OPEN_CLIP)
    }
    return inside or state


def _fitted(state: dict[str, Tensor], encoder: TimmEncoder) -> dict[str, Tensor]:
    """Return weights with the positions of a square of patches interpolated to an encoder's."""
    own, positions = encoder.backbone.state_dict().get(_POSITIONS), state.get(_POSITIONS)
    if own is None or positions is None or own.ndim != 3 or own.shape == positions.shape:
        return state
    grid = encoder.grid_size(positions)  # whatever the images
    others = own.shape[1] - grid[0] * grid[1]  # such as a class token's
    side = math.isqrt(max(0, positions.shape[1] - others))
    if others < 0 or side * side != positions.shape[1] - others or not side:
        return state
    placed = resize_grid(positions[0, others:], (side, side), grid).unsqueeze(0)
    return {**state, _POSITIONS: torch.cat([positions[:, :others], placed], 1)}
