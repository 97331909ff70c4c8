"""A prior for the words of a language: what is read with doubt may be a known word that looks
nearly as likely.

In: what is read, and the probabilities that it was read from. Out: the same readings, a doubtful
one replaced by a known word within two letters of it whose probability, times e to the power of
what the word is worth, is greater. Long and frequent words are worth more than short and rare ones:
other letters seldom look like a long word by chance. Signs before and after a word stay, and so
does any text with a digit. Columns of CTC give the probability of any text; steps of a decoder,
each of which has seen the other characters, only of texts that are as long. NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from math import log
from string import punctuation
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from strhub.text.tokenizer import CTCTokenizer, Tokenizer

DOUBT: Final = 0.9  # confidence below which a reading may be replaced
# letters of a reading that may be; of fewer, most are within reach of any other
SHORTEST: Final = 3
LONG: Final = 5  # letters from which two may differ, below that one
# What a word is worth, over the weight: _BASE + _LETTER times its letters - _RARITY times the
# logarithm of its rank, at most _MOST. Fitted, for a weight of 3, to scene words read
# by published weights of PP-OCRv6 small, which were not trained on them (docs/strhub-small.md).
_BASE: Final = 0.13
_LETTER: Final = 0.37
_RARITY: Final = 0.083
_MOST: Final = 2.0
_HEAD: Final = 10  # added to ranks, so that the first few words differ little
_LEAST: Final = 1e-30

Floats = npt.NDArray[np.float32]
Letters = npt.NDArray[np.uint8]  # (length, N): letters first, so that N words are compared at once
Reading = tuple[str, float, Any]  # text, its confidence, that of each character


class WordPrior:
    """ranks: words in lower case, the most frequent one 0; charset: what the model reads, id 0
    being the blank, or the end; weight: of the prior, in nats: about that of a word of four
    letters. columns: of CTC, or else steps of a character each.
    """

    def __init__(
        self, ranks: Mapping[str, int], *, charset: str, weight: float, columns: bool = True
    ) -> None:
        self.weight, self.columns = weight, columns
        self._ids = {character: number for number, character in enumerate(charset, 1)}
        self._ranks = ranks
        lengths: dict[int, list[str]] = {}
        for word in sorted(ranks):
            lengths.setdefault(len(word), []).append(word)
        self._tables = {length: letters_of(some) for length, some in lengths.items()}

    def __call__(self, readings: Sequence[Reading], probabilities: Floats) -> list[Reading]:
        """Return the readings, doubtful ones replaced where a known word speaks against them.

        probabilities: (B, L, C). A replaced text keeps its confidence, which all of its characters
            share.
        """
        return [
            self._replaced(reading, row) if reading[1] < DOUBT else reading
            for reading, row in zip(readings, probabilities, strict=True)
        ]

    def _replaced(self, reading: Reading, row: Floats) -> Reading:
        text, confidence, _ = reading
        core = text.strip(punctuation + " ")
        letters = "".join(
            character for character in core.lower() if character.isascii() and character.isalnum()
        )
        if len(letters) < SHORTEST or not letters.isalpha() or core.lower() in self._ranks:
            return reading
        near = self.near(letters)
        if not self.columns:
            near = [word for word in near if len(word) == len(core)]
        before, _, after = text.partition(core)
        spelled = {text: 0.0}  # what may stand there, and what it is worth
        for word in near:
            worth = self.worth(word)
            for form in (word, word.upper(), word.capitalize()):
                spelled[before + form + after] = worth
        texts = [word for word in spelled if set(word) <= self._ids.keys()]
        if len(texts) < 2 or texts[0] != text:
            return reading
        likelihoods = ctc_log_likelihoods if self.columns else step_log_likelihoods
        scores = likelihoods(row, [[self._ids[character] for character in word] for word in texts])
        best = texts[int((scores + [spelled[word] for word in texts]).argmax())]
        if best == text:
            return reading
        each = np.full(len(best), confidence ** (1 / len(best)), dtype=np.float32)
        return best, confidence, each

    def worth(self, word: str) -> float:
        """Return by how much the log-likelihood of anything else must be greater, in nats."""
        rarity = log(self._ranks[word] + _HEAD)
        return self.weight * min(_MOST, _BASE + _LETTER * len(word) - _RARITY * rarity)

    def near(self, letters: str) -> list[str]:
        """Return the words that differ in one letter, or in two if there are five or more, from
        `letters`.
        """
        most = 2 if len(letters) >= LONG else 1
        target = np.frombuffer(letters.encode("ascii"), dtype=np.uint8)[:, None]
        found: list[str] = []
        for length, table in self._tables.items():
            if abs(length - len(target)) > 1:
                continue
            if length == len(target):
                chosen = _count(table != target) <= most
            elif length > len(target):  # the word has a letter more
                chosen = _mismatches_less_one(table, target) <= most - 1
            else:
                chosen = _mismatches_less_one(target, table) <= most - 1
            found += [bytes(row).decode("ascii") for row in table.T[chosen]]
        return found


def letters_of(words: Sequence[str]) -> Letters:
    """Return N ASCII words of one length as (length, N)."""
    rows = np.frombuffer("".join(words).encode("ascii"), dtype=np.uint8).reshape(len(words), -1)
    return np.ascontiguousarray(rows.T)


def _count(differences: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Return how many of (length, N) are true, (N,)."""
    counts: npt.NDArray[np.uint8] = differences.sum(0, dtype=np.uint8)
    return counts


def _mismatches_less_one(longer: Letters, shorter: Letters) -> npt.NDArray[np.uint8]:
    """Return in how many letters words differ at least once one letter of the longer is left out.

    longer: (length + 1, N) or (length + 1, 1); shorter: (length, 1) or (length, N). Returns (N,).
    """
    after = longer[1:] != shorter  # where letters stand if one before them is left out
    before = longer[:-1] != shorter
    differing = _count(after)  # the first letter left out
    least = differing
    for one_before, one_after in zip(before.view(np.uint8), after.view(np.uint8), strict=True):
        differing = differing + one_before - one_after  # the letter after that instead
        least = np.minimum(least, differing)
    return least


def ctc_log_likelihoods(probabilities: Floats, texts: Sequence[Sequence[int]]) -> Floats:
    """Return the log-likelihood of each of K texts, by CTC's forward recursion (Graves et al. 2006,
    section 4.1).

    probabilities: (L, C), id 0 the blank; texts: ids, at least one each. -inf for a text that needs
        more columns.
    """
    longest = max(map(len, texts))
    states = np.zeros(
        (len(texts), 2 * longest + 1), dtype=np.int64
    )  # blank, first, blank, second, ...
    for row, text in zip(states, texts, strict=True):
        row[1 : 2 * len(text) : 2] = text
    skips = np.zeros(states.shape, dtype=bool)  # a letter may follow another one without a blank
    skips[:, 3::2] = states[:, 3::2] != states[:, 1:-2:2]
    logs = np.log(np.maximum(probabilities, _LEAST))
    # two empty columns come first, so that every state has two before it
    padded = np.full((len(texts), states.shape[1] + 2), -np.inf, dtype=np.float64)
    alpha = padded[:, 2:]
    alpha[:, :2] = logs[0][states[:, :2]]
    for column in logs[1:]:
        skipped = np.where(skips, padded[:, :-2], -np.inf)
        alpha[:] = np.logaddexp(np.logaddexp(alpha, padded[:, 1:-1]), skipped) + column[states]
    ends = np.array([2 * len(text) for text in texts])
    rows = np.arange(len(texts))
    return np.logaddexp(alpha[rows, ends], alpha[rows, ends - 1]).astype(np.float32)


def step_log_likelihoods(probabilities: Floats, texts: Sequence[Sequence[int]]) -> Floats:
    """Return the log-likelihood of each of K texts of one length, a step a character.

    probabilities: (L, C); texts: ids. That of the end is left out: it is the same for all.
    """
    ids = np.array(texts)  # (K, length)
    logs = np.log(np.maximum(probabilities[: ids.shape[1]], _LEAST))
    found: Floats = logs[np.arange(len(logs)), ids].sum(1, dtype=np.float32)
    return found


@cache
def english_words() -> Mapping[str, int]:
    """Return the package's English words and names of at least two letters, in lower case, and the
    rank of each: frequent words first, names last.
    """
    from importlib.resources import files  # takes a while to import, and few need it

    folder = files("strhub") / "data" / "synth"
    lines = (
        line
        for name in ("words.txt", "names.txt")
        for line in (folder / name).read_text("utf-8").splitlines()
    )
    words = (line.split("\t")[0].strip().lower() for line in lines)
    plain = (word for word in words if len(word) > 1 and word.isascii() and word.isalpha())
    return {word: rank for rank, word in enumerate(dict.fromkeys(plain))}


def with_prior(
    readings: Sequence[Reading], probabilities: Floats, tokenizer: Tokenizer, weight: float
) -> list[Reading]:
    """Return readings with the prior of English words; see `WordPrior`. tokenizer: of the model."""
    columns = isinstance(tokenizer, CTCTokenizer)
    return _english(tokenizer.charset, weight, columns)(readings, probabilities)


@cache
def _english(charset: str, weight: float, columns: bool) -> WordPrior:
    return WordPrior(english_words(), charset=charset, weight=weight, columns=columns)
