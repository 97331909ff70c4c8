"""The text side of the contrastive objective: words to frozen features, kept by word, and the words
nearest to one.

None of this is a module: no checkpoint holds it, and no model that reads has it.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from strhub.clip.tokenizer import ClipTokenizer
from strhub.models.layers.clip import ClipTextTower
from strhub.utils.progress import progress

KEPT = 200_000  # words whose features are cached; the least recently used are dropped first
_CHUNK = 512  # words at a time through the text tower


def fold(word: str) -> str:
    """Return what two words have in common that the objective must not tell apart: CLIP's text
    knows no case.
    """
    return word.casefold()


def word_keys(words: Iterable[str]) -> Tensor:
    """Return a number (n) for each word, the same for words that differ in case alone; 63 bits of a
    hash, so that devices can compare words that they do not have.
    """
    digests = (
        hashlib.blake2b(fold(word).encode("utf-8"), digest_size=8).digest() for word in words
    )
    return torch.tensor(
        [int.from_bytes(digest, "big") >> 1 for digest in digests], dtype=torch.int64
    )


class KeptFeatures(ABC):
    """Frozen features of words, (n, E), float32, not normalized, without gradient; kept by word.

    dim: E. kept: words at most.
    """

    def __init__(self, dim: int, *, kept: int = KEPT) -> None:
        self.dim, self.kept = dim, kept
        self._features: OrderedDict[str, Tensor] = OrderedDict()

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Return the device that features are on."""

    @abstractmethod
    def compute(self, words: Sequence[str]) -> Tensor:
        """Return the features of words, none of which is kept."""

    def to(self, device: torch.device) -> None:
        """Move what is kept."""
        self._features = OrderedDict((word, row.to(device)) for word, row in self._features.items())

    def __call__(self, words: Sequence[str]) -> Tensor:
        """Return the features of words, computed for those that are new."""
        new = [word for word in dict.fromkeys(words) if word not in self._features]
        self._features.update(zip(new, self.compute(new), strict=True))
        rows = []
        for word in words:
            self._features.move_to_end(word)
            rows.append(self._features[word])
        while len(self._features) > self.kept:
            self._features.popitem(last=False)
        return torch.stack(rows) if rows else torch.empty(0, self.dim, device=self.device)


class WordFeatures(KeptFeatures):
    """What CLIP's text tower makes of words.

    tower: frozen here, and in evaluation mode. Features are kept on its device.
    """

    def __init__(self, tower: ClipTextTower, tokenizer: ClipTokenizer, *, kept: int = KEPT) -> None:
        if len(tokenizer) != tower.vocab_size:
            raise ValueError(
                f"the text tower knows {tower.vocab_size} tokens, its tokenizer {len(tokenizer)}"
            )
        super().__init__(tower.output_dim, kept=kept)
        self.tower = tower.eval().requires_grad_(False)
        self.tokenizer = tokenizer

    @property
    def device(self) -> torch.device:
        """Return the device that the tower is on."""
        return self.tower.pos_embed.device

    def to(self, device: torch.device) -> None:
        """Move the tower and what is kept."""
        self.tower.to(device)
        super().to(device)

    def compute(self, words: Sequence[str]) -> Tensor:
        """Return the features of words, none of which is kept."""
        chunks = []
        device = self.device
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            for start in progress(range(0, len(words), _CHUNK), f"batches of {_CHUNK} texts"):
                ids, lengths = self.tokenizer(
                    words[start : start + _CHUNK], self.tower.context_length
                )
                chunks.append(self.tower(ids.to(device), lengths.to(device)))
        return torch.cat(chunks) if chunks else torch.empty(0, self.dim, device=device)


class WordSpace:
    """A vocabulary's words in text space, to find those that are nearest to a feature.

    words: those that differ in case alone are one. features: of each.
    """

    def __init__(self, words: Iterable[str], features: KeptFeatures) -> None:
        self.words = [*{fold(word): word for word in reversed([*words]) if word}.values()][::-1]
        if not self.words:
            raise ValueError("the vocabulary has no words")
        device = features.device
        self.keys = word_keys(self.words).to(device)
        self.frozen = features.compute(self.words)  # (n, E)
        self.directions = F.normalize(self.frozen, dim=-1)

    def to(self, device: torch.device) -> WordSpace:
        """Move what is known of the words."""
        self.keys, self.frozen, self.directions = (
            t.to(device) for t in (self.keys, self.frozen, self.directions)
        )
        return self

    def refresh(self, adapt: Callable[[Tensor], Tensor]) -> None:
        """Place the words anew, by what a learned adapter makes of their frozen features."""
        with torch.no_grad():
            self.directions = F.normalize(adapt(self.frozen), dim=-1)

    def nearest(
        self, directions: Tensor, count: int, *, besides: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the `count` words nearest to each of the normalized directions (B, E), the nearest
        first.

        besides: keys (B) of a word each that is not wanted. Returns indexes and cosines, (B, count)
            or fewer.
        """
        similarity = directions @ self.directions.T  # (B, n)
        if besides is not None:
            similarity = similarity.masked_fill(besides[:, None] == self.keys, -torch.inf)
        best = similarity.topk(min(count, len(self.words)), dim=-1)
        return best.indices, best.values
