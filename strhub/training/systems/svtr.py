"""SVTRv2's training: CTC, and semantic guidance beside it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from strhub.models.svtr.guidance import SemanticGuidance
from strhub.models.svtr.model import SVTRv2 as Network
from strhub.text import CTCTokenizer
from strhub.training.batch import Batch
from strhub.training.systems.base import System


class SVTRv2(System):
    """Train SVTRv2.

    guidance_context: how many characters on each side the guidance sees; ctc_weight,
    guidance_weight: of the two losses, both a character; with a guidance_weight of 0 there is none.
    keep_aspect: images are brought to the model's height with their aspect kept, rather than to its
    greatest width; the data must be made so, too. All options of the network and of `System`
    besides.

    `dropped_labels` counts the labels that an image had too few columns for. They teach CTC
    nothing.
    """

    architecture = "svtr"
    model: Network
    tokenizer: CTCTokenizer

    def __init__(
        self,
        *,
        guidance_context: int,
        ctc_weight: float,
        guidance_weight: float,
        keep_aspect: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            guidance_context=guidance_context,
            ctc_weight=ctc_weight,
            guidance_weight=guidance_weight,
            keep_aspect=keep_aspect,
            **options,
        )
        self.ctc_weight, self.guidance_weight = ctc_weight, guidance_weight
        self.dropped_labels: int | Tensor = 0
        self.guidance: SemanticGuidance | None = None
        if guidance_weight:
            self.guidance = SemanticGuidance(
                charset_size=len(self.tokenizer.charset),
                embed_dim=self.hparams["embed_dims"][-1],
                context=guidance_context,
            )

    def training_loss(self, images: Tensor, labels: Sequence[str]) -> Tensor:
        """Return the weighted sum of both losses."""
        tokens = self.tokenizer.encode(labels, self.device)  # (B, L)
        features, padding = self.model.encode(images)
        logits = self.model.read(features, padding)
        losses, dropped = ctc_losses(logits, self.model.columns_of(images), tokens, labels)
        self.dropped_labels = self.dropped_labels + dropped
        loss = self.ctc_weight * losses.mean()
        if self.guidance is not None:
            guidance = self.balanced(
                self.guidance.loss(features, padding, tokens), (tokens > 0).sum()
            )
            loss = loss + self.guidance_weight * guidance
        return loss

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Take one step; what was dropped is logged."""
        loss = super().training_step(batch, batch_idx)
        self.log(
            "dropped_labels",
            torch.as_tensor(self.dropped_labels, dtype=torch.float32),
            batch_size=1,
        )
        return loss

    def validation_loss(self, images: Tensor, labels: Sequence[str]) -> tuple[Tensor, Tensor, int]:
        """Read all columns. The loss is CTC's, a character; an element is a word."""
        logits = self(images)
        losses, _ = ctc_losses(
            logits,
            self.model.columns_of(images),
            self.tokenizer.encode(labels, self.device),
            labels,
        )
        return logits, losses.mean(), len(labels)


def ctc_losses(
    logits: Tensor, columns: Tensor, tokens: Tensor, labels: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Return CTC's loss (Graves et al. 2006) of each word, per character, (B), and how many words
    have too few columns, ().

    logits: (B, W, C); columns: how many of W are a word's own, (B); tokens: ids of the labels, (B,
    L). The loss of a word that needs more columns than it has is 0.
    """
    lengths = torch.tensor([len(label) for label in labels], device=logits.device)
    needed = torch.tensor([columns_needed(label) for label in labels], device=logits.device)
    log_probs = logits.float().log_softmax(-1).transpose(0, 1)  # (W, B, C)
    losses = F.ctc_loss(log_probs, tokens, columns, lengths, reduction="none", zero_infinity=True)
    return losses / lengths.clamp(min=1), (needed > columns).sum()


def columns_needed(label: str) -> int:
    """Return how many columns CTC needs for a label: one a character, and a blank between two that
    are alike.
    """
    return len(label) + sum(one == other for one, other in pairwise(label))
