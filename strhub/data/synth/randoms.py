"""Strings of random characters, in which the characters lead that other texts leave rare.

In: a charset and, for the balance, texts of the other kinds. Out: one string per call. A combining
mark is put on a letter of its own script, never at the start and never on another mark.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from strhub.data.synth.patterns import pick
from strhub.data.synth.shaping import is_ignorable, is_mark

__all__ = ["RandomStrings"]

# Every character shall have at least this fraction of all characters drawn, where the charset is
# small enough. The aim is 0.3 %; the rest is for the error of a trial.
_LEAST_FRACTION = 0.0037
_USUAL_LENGTH = 7


class RandomStrings:
    """Draws strings of 1..max_length characters of `charset`, each as likely until `balance` is
    called.

    `charset` holds at least one character that is not a joiner or direction mark; those are never
    drawn.
    """

    def __init__(self, *, charset: str, max_length: int) -> None:
        self._chars = [char for char in charset if not is_ignorable(char)]
        self._bases = [char for char in self._chars if not is_mark(char)]
        self._max_length = max_length
        self._ends: npt.NDArray[np.float64] = np.linspace(0.0, 1.0, len(self._chars) + 1)[1:]

    def __call__(self, rng: np.random.Generator) -> str:
        """Return one string."""
        length = 1 + int(rng.random() * min(self._max_length, _USUAL_LENGTH))
        # Now and then up to the full length, so that late positions are seen with every character
        # too.
        if rng.random() < 0.1:
            length = 1 + int(rng.random() * self._max_length)
        last = len(self._chars) - 1
        chars = [
            self._chars[min(roll, last)]
            for roll in self._ends.searchsorted(rng.random(length)).tolist()
        ]
        if 0 < len(self._bases) < len(self._chars):
            self._seat_marks(chars, rng)
        return "".join(chars)

    def balance(self, others: Iterable[str], *, fraction: float) -> None:
        """Weigh the characters so that, beside texts such as `others`, none stays rarer than 0.3 %
        of all.

        Args:
            others: a sample of the other kinds of texts, some thousands.
            share: how much of all characters stands in random strings, in (0, 1).
        """
        seen = Counter(char for text in others for char in text)
        total = max(seen.total(), 1) / (1.0 - fraction)
        sampled: npt.NDArray[np.float64] = np.array(
            [seen[char] for char in self._chars], dtype=np.float64
        )
        lacking = (_LEAST_FRACTION - sampled / total).clip(min=0.0)
        # The remaining probability is spread evenly.
        spare = max(fraction - float(lacking.sum()), 0.1 * fraction)
        weights = lacking + spare / len(lacking)
        self._ends = np.cumsum(weights / weights.sum())

    def mean_length(self) -> float:
        """Return the mean length of a string in characters."""
        return (
            0.9 * (min(self._max_length, _USUAL_LENGTH) + 1) / 2 + 0.1 * (self._max_length + 1) / 2
        )

    def _seat_marks(self, chars: list[str], rng: np.random.Generator) -> None:
        """Change `chars` where a combining mark has no letter of its own script before it."""
        for roll, char in enumerate(chars):
            if not is_mark(char) or (roll and _carries(chars[roll - 1], char)):
                continue
            bases = [base for base in self._bases if _carries(base, char)]
            if bases and roll + 1 < len(chars):
                chars[roll : roll + 2] = [pick(rng, bases), char]
            else:
                chars[roll] = pick(rng, bases or self._bases)


def _carries(base: str, mark: str) -> bool:
    """Return whether `mark` may sit on `base`: a letter of the same script, told by its block, or
    any for general accents.
    """
    if unicodedata.category(base)[0] != "L":
        return False
    return "\u0300" <= mark <= "\u036f" or ord(base) >> 7 == ord(mark) >> 7
