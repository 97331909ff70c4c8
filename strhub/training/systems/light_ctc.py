"""The light CTC recognizer's training: connectionist temporal classification, and the contrastive
objective beside it if it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from strhub.models import light_ctc
from strhub.models.layers.light_conv import TOKEN_DIM
from strhub.training.systems.contrastive import ContrastiveSystem
from strhub.training.systems.ctc import CTCSystem


class LightCTC(ContrastiveSystem, CTCSystem):
    """Train the light CTC recognizer.

    keep_aspect: images are brought to the model's height with their aspect kept, rather than to its
    greatest width; the data must be made so, too. All options of the network and of
    `ContrastiveSystem` besides.
    """

    architecture = "light_ctc"
    model: light_ctc.Network

    def __init__(self, *, keep_aspect: bool = True, **options: Any) -> None:
        super().__init__(keep_aspect=keep_aspect, **options)

    @property
    def token_dim(self) -> int:
        """Return the size of the encoder's columns."""
        return TOKEN_DIM

    def training_loss(self, images: Tensor, labels: Sequence[str]) -> Tensor:
        """Return the negative log-likelihood a character, mean over words, with the objective's
        part: the encoder's columns against the words.
        """
        tokens = self.model.tokens(images)  # (B, L, D)
        loss = self.loss_of(self.model.head(tokens), labels, self.model.columns_of(images))
        return loss + self.contrastive_part(tokens, labels)

    @torch.no_grad()
    def first_readings(self, encoded: Tensor) -> list[str]:
        """Return what is read in columns (B, L, D)."""
        return self.tokenizer.decode(self.model.head(encoded).softmax(-1))[0]
