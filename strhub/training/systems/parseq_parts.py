"""Parts of PARSeq's training that are no part of the model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from strhub.clip.sources import decides_sizes, find_clip
from strhub.clip.weights import read_clip
from strhub.models.layers.ctc import ctc_loss
from strhub.models.parseq.encoders import CLIP_SIZES, FREE

log = logging.getLogger(__name__)


def with_sizes(options: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Complete options by the sizes of a CLIP that has its own, and the activation of one of
    open_clip's.

    Nothing is done for options that come from a checkpoint: they have all sizes.
    """
    options = dict(options)
    if options.get("enc_embed_dim") or not decides_sizes(source):
        return options
    found = find_clip(source, options["encoder"])
    options["enc_activation"] = options.get("enc_activation") or found.activation
    clip = read_clip(found.path)
    sizes = {**clip.image_sizes(), **(clip.text_sizes() if options.get("cross_modal") else {})}
    named = CLIP_SIZES.get(options["encoder"])
    if named is None or any(sizes[name] != value for name, value in named.items()):
        if named is not None:
            log.warning(
                "%s is not a %s: its own sizes are used, %s", source, options["encoder"], sizes
            )
        options |= {**sizes, "encoder": FREE}
    return options


class ColumnReader(nn.Linear):
    """Reads each column of an image by itself, for CTC: features (B, W, D) to logits (B, W,
    charset_size + 1).

    The blank has id 0, so that characters have the ids that they have elsewhere.
    """

    def __init__(self, embed_dim: int, charset_size: int) -> None:
        super().__init__(embed_dim, charset_size + 1)

    def loss(self, columns: Tensor, tokens: Tensor, labels: Sequence[str]) -> Tensor:
        """Return CTC's loss of labels with tokens (B, T + 1) that begin with [B]; see
        `ctc_loss`.
        """
        lengths = torch.tensor([len(label) for label in labels], device=columns.device)
        return ctc_loss(self(columns), tokens[:, 1:], lengths)
