"""Training of the recognizers whose columns are read each by itself: connectionist temporal
classification.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from strhub.models.layers.ctc import ctc_loss
from strhub.text import CTCTokenizer
from strhub.training.systems.base import System


class CTCSystem(System):
    """Train a recognizer with CTC's loss alone."""

    tokenizer: CTCTokenizer

    def training_loss(self, images: Tensor, labels: Sequence[str]) -> Tensor:
        """Return the negative log-likelihood a character, mean over words."""
        return self.validation_loss(images, labels)[1]

    def validation_loss(self, images: Tensor, labels: Sequence[str]) -> tuple[Tensor, Tensor, int]:
        """Return the same: reading is one pass, in training as in use. An element is a word."""
        logits = self(images)  # (B, W, C)
        return logits, self.loss_of(logits, labels, self.model.columns_of(images)), len(labels)

    def loss_of(self, logits: Tensor, labels: Sequence[str], columns: Tensor | None) -> Tensor:
        """Return the loss of logits (B, W, C), of which each image has so many columns, (B), or
        all.
        """
        lengths = torch.tensor([len(label) for label in labels], device=self.device)
        return ctc_loss(logits, self.tokenizer.encode(labels, self.device), lengths, columns)
