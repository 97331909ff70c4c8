"""TRBA's training: cross-entropy of each character after the true ones before it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from strhub.models import trba
from strhub.text import AttentionTokenizer
from strhub.training.systems.base import System


class TRBA(System):
    """Train TRBA. All options are those of the network and of `System`."""

    architecture = "trba"
    model: trba.Network
    tokenizer: AttentionTokenizer

    def training_loss(self, images: Tensor, labels: Sequence[str]) -> Tensor:
        """Return the cross-entropy of the characters and of [E], each given the true text before
        it.
        """
        tokens = self.tokenizer.encode(labels, self.device)  # (B, T + 1), from [B] on
        targets = tokens[:, 1:]
        loss = self._cross_entropy(self.model.logits_after(images, tokens[:, :-1]), targets)
        return self.balanced(loss, (targets != self.tokenizer.pad_id).sum())

    def validation_loss(self, images: Tensor, labels: Sequence[str]) -> tuple[Tensor, Tensor, int]:
        """Read greedily for as many steps as the longest label needs."""
        targets = self.as_long(
            self.tokenizer.encode(labels, self.device)[:, 1:], self.tokenizer.pad_id
        )  # (B, T)
        logits = self(images, targets.shape[1] - 1)
        return (
            logits,
            self._cross_entropy(logits, targets),
            int((targets != self.tokenizer.pad_id).sum()),
        )

    def compiled_parts(self) -> list[nn.Module]:
        """Return the image's way to columns; the network's own `forward` reads greedily and is not
        what trains it.
        """
        return [self.model.FeatureExtraction, self.model.SequenceModeling]

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(
            logits.flatten(end_dim=1), targets.flatten(), ignore_index=self.tokenizer.pad_id
        )
