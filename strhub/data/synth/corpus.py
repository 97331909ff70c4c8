"""Weighted word lists: those of the package and a user's own corpus.

In: a text file, or the names of the bundled lists. Out: a `Vocabulary`, words with the probability
of each. A user's file has one word or line per row, optionally followed by a tab and a count, or is
plain running text, from which frequent words are drawn more often.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import TextIOWrapper
from pathlib import Path

import numpy as np
import numpy.typing as npt

from strhub.data.synth.shaping import clusters
from strhub.utils.regular_files import open_regular

__all__ = ["Vocabulary", "bundled_words", "cut", "read_corpus"]

_FOLDER = Path(__file__).parent
# Softer than Zipf's law: with exponent 1 a handful of function words would fill a quarter of all
# images.
_RANK_EXPONENT, _RANK_OFFSET = 0.8, 60.0
_COUNT_EXPONENT = 0.6
# Signs favor short words: every letter more makes a word of the bundled lists this much rarer.
_LENGTH_FACTORS = {"words": 0.75, "names": 0.85, "words-europe": 0.85}
# Scripts that put no space between words: Thai, Lao, Burmese, Khmer, kana and Chinese characters.
_UNSPACED = (
    ("\u0e00", "\u0eff"),
    ("\u1000", "\u109f"),
    ("\u1780", "\u17ff"),
    ("\u3041", "\u9fff"),
    ("\U00020000", "\U0003ffff"),
)
_SENTENCE = 8


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words and, for each, the upper end of its share of [0, 1)."""

    words: tuple[str, ...]
    ends: npt.NDArray[np.float64]

    @classmethod
    def weighted(cls, words: Sequence[str], weights: npt.NDArray[np.float64]) -> Vocabulary:
        """Return a vocabulary of `words` with chances in proportion to `weights`, each above 0."""
        return cls(tuple(words), np.cumsum(weights / weights.sum()))

    def pick(self, rng: np.random.Generator) -> str:
        """Return one word."""
        return self.words[min(int(self.ends.searchsorted(rng.random())), len(self.words) - 1)]

    def fitted(self, change: Callable[[str], Iterable[str]]) -> Vocabulary:
        """Return the vocabulary of the words that `change` makes of each word: none, one or
        several.

        Words that become equal share their chances; the result may be empty.
        """
        chances = np.diff(self.ends, prepend=0.0)
        fractions: dict[str, float] = {}
        for word, chance in zip(self.words, chances.tolist(), strict=True):
            for changed in change(word):
                fractions[changed] = fractions.get(changed, 0.0) + chance
        if not fractions:
            return Vocabulary((), np.zeros(0))
        return Vocabulary.weighted(tuple(fractions), np.array(list(fractions.values())))


@lru_cache(maxsize=64)
def bundled_words(name: str, *, longest: int) -> Vocabulary:
    """Return a word list of the package, `words`, `names` or `words-europe`, without words over
    `longest` characters.

    All favor short words; `words` is ordered from common to rare and weighted so as well. May be
    empty.
    """
    listed = _FOLDER.joinpath(f"{name}.txt").read_text(encoding="utf-8").split()
    lengths: npt.NDArray[np.float64] = np.array([len(word) for word in listed], dtype=np.float64)
    weights = _LENGTH_FACTORS[name] ** lengths
    if name == "words":
        weights = weights * (np.arange(len(listed)) + _RANK_OFFSET) ** -_RANK_EXPONENT
    kept = [number for number, length in enumerate(lengths.tolist()) if length <= longest]
    if not kept:
        return Vocabulary((), np.zeros(0))
    return Vocabulary.weighted([listed[number] for number in kept], weights[kept])


def read_corpus(path: str | Path) -> Vocabulary:
    """Read a corpus: a UTF-8 text file with one word or line per row, `word<TAB>count`, or running
    text.

    Rows are split at white space, so that every word is drawn alone. A word's chance grows with its
    count (a word without a count has 1 per occurrence) to the power 0.6, so that rare words are
    seen too. Words are composed (Unicode NFC) as labels are; nothing else about them is changed.

    Raises:
        ValueError: if the file is missing, is not UTF-8, has a count below 1 or holds no word; says
            where.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"corpus {path} does not exist or is not a file; pass a UTF-8 text file, one word or "
            "line a row"
        )
    counts: Counter[str] = Counter()
    try:
        with TextIOWrapper(open_regular(path), encoding="utf-8-sig") as rows:
            for number, row in enumerate(rows, start=1):
                text, count = _row(row, path, number)
                for word in unicodedata.normalize("NFC", text).split():
                    counts[word] += count
    except UnicodeDecodeError as error:
        raise ValueError(f"corpus {path} is not UTF-8 ({error}); save it as UTF-8") from error
    if not counts:
        raise ValueError(f"corpus {path} holds no word; put one word or line per row into it")
    weights: npt.NDArray[np.float64] = (
        np.array(list(counts.values()), dtype=np.float64) ** _COUNT_EXPONENT
    )
    return Vocabulary.weighted(tuple(counts), weights)


def _row(row: str, path: Path, number: int) -> tuple[str, int]:
    """Return the text of a row and its count; a tab that no whole number follows is plain white
    space.
    """
    text, tab, count = row.rstrip("\r\n").rpartition("\t")
    if not tab or not count.strip().lstrip("-").isdecimal():
        return row, 1
    if int(count) < 1:
        raise ValueError(
            f"corpus {path}, row {number}: count {count.strip()} of {text!r} is below 1; leave the "
            "row out"
        )
    return text, int(count)


def cut(word: str, longest: int, rng: np.random.Generator) -> list[str]:
    """Return `word` in parts of at most `longest` characters, never cut inside a letter with its
    marks.

    Scripts without spaces, such as Chinese or Thai, come in whole sentences: those over 8
    characters are cut into parts of about 4, of random lengths. Anything else is cut only where it
    must be. A cluster over the limit is left out.
    """
    sentence = len(word) > _SENTENCE and any(map(_is_unspaced, word))
    if len(word) <= longest and not sentence:
        return [word]
    parts: list[str] = []
    part, room = "", 0
    for cluster in clusters(word):
        if len(cluster) > longest:
            parts += [part] if part else []
            part = ""
            continue
        if not part or len(part) + len(cluster) > room:
            parts += [part] if part else []
            part, room = "", min(longest, 1 + int(rng.geometric(0.3))) if sentence else longest
        part += cluster
    return [*parts, part] if part else parts


def _is_unspaced(char: str) -> bool:
    return any(first <= char <= last for first, last in _UNSPACED)
