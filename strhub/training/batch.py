"""What a step of training or validation gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from torch import Tensor

__all__ = ["Batch", "lost_labels_of", "unreadable_of"]

Batch: TypeAlias = tuple[Tensor, Sequence[str]] | tuple[Tensor, Sequence[str], int, Sequence[str]]
"""Images (B, 3, H, W), normalized, and B labels; those of a data module also have the number of
records that could not be read, and the labels that were lost with them (evaluation only)."""


def unreadable_of(batch: Batch) -> int:
    """Return how many records of a batch could not be read."""
    return batch[2] if len(batch) == 4 else 0


def lost_labels_of(batch: Batch) -> Sequence[str]:
    """Return the labels of words that could not be read."""
    return batch[3] if len(batch) == 4 else ()
