"""Training of networks that read all characters in one pass: cross-entropy of each of them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from strhub.text import AttentionTokenizer
from strhub.training.systems.base import System


class CrossEntropySystem(System):
    """Train a recognizer whose logits at each step are those of the character there, and of [E]
    after the last.
    """

    tokenizer: AttentionTokenizer

    def training_loss(self, images: Tensor, labels: Sequence[str]) -> Tensor:
        """Return the cross-entropy of the characters and of [E]."""
        return self.balanced(*self._read(images, self._targets(labels))[1:])

    def validation_loss(self, images: Tensor, labels: Sequence[str]) -> tuple[Tensor, Tensor, int]:
        """Return the same: reading is one pass, in training as in use."""
        return self._read(images, self.as_long(self._targets(labels), self.tokenizer.pad_id))

    def _targets(self, labels: Sequence[str]) -> Tensor:
        return self.tokenizer.encode(labels, self.device)[:, 1:]  # (B, T), without [B]

    def _read(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, int]:
        logits = self(images, targets.shape[1] - 1)  # (B, T, C)
        pad_id = self.tokenizer.pad_id
        loss = F.cross_entropy(logits.flatten(end_dim=1), targets.flatten(), ignore_index=pad_id)
        return logits, loss, int((targets != pad_id).sum())
