"""Words placed by their letters alone: words that are spelled alike lie together, with nothing
learned.

A word is the sum of what it is made of: its letters at their places from the beginning and from the
end, its pairs of letters and its triples. Each of these is a direction of its own, drawn by a hash,
so that any two are all but perpendicular, and two words are as near as they share such parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from torch import Tensor

from strhub.clip.words import KeptFeatures, fold

SPELLING: Final = "spelling"
"""The name in `contrastive.text_weights` that stands for this."""

DIM: Final = 256
_LONGEST_RUN: Final = 3  # letters
_KEPT_PARTS: Final = 100_000


class SpellingFeatures(KeptFeatures):
    """Features of words by their letters, case aside. dim: of them."""

    def __init__(self, dim: int = DIM) -> None:
        super().__init__(dim)
        self._device = torch.device("cpu")

    @property
    def device(self) -> torch.device:
        """Return the device that features are on."""
        return self._device

    def to(self, device: torch.device) -> None:
        """Move what is kept."""
        self._device = device
        super().to(device)

    def compute(self, words: Sequence[str]) -> Tensor:
        """Return the features of words, (n, dim), of length 1; of an empty word zeros."""
        rows = np.zeros((len(words), self.dim), np.float32)
        for row, word in zip(rows, words, strict=True):
            for part in parts(fold(word)):
                row += direction(part, self.dim)
            row /= max(float(np.linalg.norm(row)), 1e-6)
        return torch.from_numpy(rows).to(self._device)


def parts(word: str) -> Iterator[str]:
    """Yield what a word is made of: letters with their places, and runs of letters, its ends
    counted as letters.
    """
    for index, letter in enumerate(word):
        yield f"{letter}{index}"
        yield f"{letter}{index - len(word)}"
    if word:
        whole = f"\n{word}\n"
        for length in range(2, _LONGEST_RUN + 1):
            for start in range(len(whole) - length + 1):
                yield "\t" + whole[start : start + length]


@lru_cache(maxsize=_KEPT_PARTS)
def direction(part: str, dim: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return a part's direction, (dim): signs drawn by its hash."""
    digest = hashlib.shake_256(part.encode("utf-8")).digest(-(-dim // 8))
    bits = np.unpackbits(np.frombuffer(digest, np.uint8))[:dim]
    return (2.0 * bits - 1).astype(np.float32) / np.float32(dim**0.5)
