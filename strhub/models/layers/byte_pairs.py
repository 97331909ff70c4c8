"""Byte-pair encoding of words that are given as ids of their bytes (Sennrich et al. 2016), as
CLIP's text tower has it (Radford et al. 2021, section 2.4).

In: rows of ids, as `strhub.models.parseq.crossmodal.spell` has them: a printable ASCII character is
its code less 33. Out: ids of CLIP's tokens. The merges are a tensor, so that they are saved with a
network that needs them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from torch import Tensor

BYTES = 256  # ids of bytes inside a word; as many follow for those at its end
_LETTERS = frozenset(ord(letter) - 33 for letter in "abcdefghijklmnopqrstuvwxyz")
_DIGITS = frozenset(ord(digit) - 33 for digit in "0123456789")
_CONTRACTIONS = tuple(
    tuple(ord(sign) - 33 for sign in text) for text in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
)


class BytePairs:
    """Joins pairs of ids, the first in the table first.

    merges: (M, 3) whole numbers: the two ids that are joined, and the id of what they make.
    """

    def __init__(self, merges: Tensor) -> None:
        self.merges = {
            (first, second): (rank, joined)
            for rank, (first, second, joined) in enumerate(merges.tolist())
        }

    def encode(self, text: Sequence[int]) -> list[int]:
        """Return the ids of a text of bytes."""
        return [token for word in split_words(text) for token in self._join(word)]

    def _join(self, word: Sequence[int]) -> list[int]:
        symbols = [*word[:-1], word[-1] + BYTES]
        while len(symbols) > 1:
            known = [pair for pair in itertools.pairwise(symbols) if pair in self.merges]
            if not known:
                break
            best = min(known, key=lambda pair: self.merges[pair][0])
            joined: list[int] = []
            for symbol in symbols:
                if joined and (joined[-1], symbol) == best:
                    joined[-1] = self.merges[best][1]
                else:
                    joined.append(symbol)
            symbols = joined
        return symbols


def split_words(text: Sequence[int]) -> Iterator[list[int]]:
    """Split a text into runs of letters, single digits, runs of other signs, and contractions."""
    position = 0
    while position < len(text):
        end = position + 1
        for contraction in _CONTRACTIONS:
            if tuple(text[position : position + len(contraction)]) == contraction:
                end = position + len(contraction)
                break
        else:
            kind = _kind(text[position])
            while kind != "digit" and end < len(text) and _kind(text[end]) == kind:
                end += 1
        yield list(text[position:end])
        position = end


def _kind(token: int) -> str:
    return "letter" if token in _LETTERS else "digit" if token in _DIGITS else "sign"
