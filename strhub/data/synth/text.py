"""Texts for rendered training words.

In: a charset, a length limit and, per call, a random generator. Out: one string per call that holds
only characters of that charset. The mix follows what stands on signs, packs and screens: mostly
words and names, then numbers, prices, codes and addresses. Invented words and random strings keep a
model from learning the vocabulary instead of the letters. `mixture` lists the kinds with their
shares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from strhub.data.synth import patterns
from strhub.data.synth.corpus import Vocabulary, bundled_words, cut, read_corpus
from strhub.data.synth.lengths import checked_lengths, joined_texts, line_of
from strhub.data.synth.mixture import checked_mixture, drawable_mixture
from strhub.data.synth.patterns import pick
from strhub.data.synth.randoms import RandomStrings
from strhub.data.synth.shaping import is_ignorable, is_mark
from strhub.data.synth.spelling import Spelling
from strhub.data.synth.text_tables import (
    BRACKETS,
    DOMAINS,
    ENDINGS,
    JOINTS,
    PHRASES,
    STARTS,
    _cased,
    accented_forms,
)

__all__ = ["TextSampler"]

_BUNDLED = ("words", "names", "words-europe")
# Drawn once to see which characters the kinds other than random strings leave rare.
_TRIAL = 2500
_MAILBOXES = ("info", "mail", "office", "contact", "sales")
_Draw = Callable[[np.random.Generator], str]


class TextSampler:
    """Draws texts of 1..max_length characters that all belong to `charset`.

    Args:
        charset: the characters a text may hold, in any order; of white space only the space is
            drawn: with it, half of the texts are lines of several words. With letters of one case
            only, words are cased to fit; accents that it lacks are taken off; other characters
            outside the charset are left out.
        max_length: longest text in characters, at least 1.
        corpus: a file as `read_corpus` takes it, or what that returned; its words take the place of
            the bundled words. Words with letters outside the charset are left out; signs outside it
            are taken off.
        corpus_case: "keep" draws the corpus as it is written, "mix" in capitals, small letters and
            capitalized.
        mixture: kind -> weight, at least 0, in place of the table in `mixture`; a kind not named is
            not drawn. Kinds that the charset can't hold, such as numbers without digits, are left
            out.
        lengths: (least, most) characters, both included, each length as likely: texts are strung
            together, without room between them, and cut to the length. None leaves every text as
            long as it is.

    Raises:
        ValueError: if the charset holds no visible character, `max_length` is below 1, the corpus
            can't be read or has no word that fits the charset, the mixture has an unknown kind, a
            bad weight or nothing drawable, or `lengths` are not two whole numbers between 1 and
            `max_length`, the lower first.
    """

    def __init__(
        self,
        *,
        charset: str,
        max_length: int,
        corpus: str | Path | Vocabulary | None = None,
        corpus_case: Literal["keep", "mix"] = "keep",
        mixture: Mapping[str, float] | None = None,
        lengths: Sequence[int] | None = None,
    ) -> None:
        visible = "".join(char for char in dict.fromkeys(charset) if not char.isspace())
        if not visible or all(map(is_ignorable, visible)):
            raise ValueError(
                f"charset {charset!r} holds no visible character; pass at least one letter, digit "
                "or sign"
            )
        if max_length < 1:
            raise ValueError(
                f"max_length must be at least 1, got {max_length}; 25 is a usual choice"
            )
        if corpus_case not in ("keep", "mix"):
            raise ValueError(f"corpus_case must be 'keep' or 'mix', got {corpus_case!r}")
        self.charset = visible
        self.spaces = " " in charset
        self.max_length = int(max_length)
        self.lengths = None if lengths is None else checked_lengths(lengths, self.max_length)
        self.corpus = read_corpus(corpus) if isinstance(corpus, str | Path) else corpus
        self.corpus_case: Literal["keep", "mix"] = corpus_case
        self.mixture = checked_mixture(mixture, has_corpus=corpus is not None)
        self._allowed = frozenset(visible)
        self._accents = accented_forms(visible)
        self._joints = tuple(joint for joint in JOINTS if joint in self._allowed)
        self._spelling = Spelling(self._allowed)
        self._lists = {name: bundled_words(name, longest=self.max_length) for name in _BUNDLED}
        self._own = self._fitted_corpus()
        self._random = RandomStrings(charset=visible, max_length=self.max_length)
        fractions = drawable_mixture(
            self.mixture, charset=visible, has_corpus=self._own is not None
        )
        draws = self._draws()
        self._kinds = tuple(draws[kind] for kind in fractions)
        self._kind_ends: npt.NDArray[np.float64] = np.cumsum(list(fractions.values()))
        self._balance(fractions.get("random", 0.0))

    def __call__(self, rng: np.random.Generator) -> str:
        """Return one text, never empty, drawn from `rng` alone."""
        if self.lengths is None:
            return line_of(self._one, rng, self.max_length) if self.spaces else self._one(rng)
        length = int(rng.integers(self.lengths[0], self.lengths[1] + 1))
        return joined_texts(self._one, self._random, rng, length, space=self.spaces) or self._one(
            rng
        )

    def _one(self, rng: np.random.Generator) -> str:
        """Return one text of one kind."""
        kind = self._kind(rng)
        for _ in range(6):
            text = self._spelling.fit(kind(rng))
            if 0 < len(text) <= self.max_length:
                return text
        # A limit of a few characters leaves nearly every kind too long: random strings always fit.
        return self._random(rng)

    def __reduce__(self) -> tuple[Callable[..., TextSampler], tuple[object, ...]]:
        charset = self.charset + (" " if self.spaces else "")
        texts = (self.corpus, self.corpus_case, self.mixture, self.lengths)
        return _rebuild, (charset, self.max_length, *texts)

    def _draws(self) -> dict[str, _Draw]:
        return {
            "word": self._word, "name": self._name, "european": self._european,
                "corpus": self._corpus_word,
            "invented": self._invented, "marked": self._marked,
            "number": patterns.number, "price": patterns.price, "date": patterns.date,
            "time": patterns.time, "phone": patterns.phone, "code": patterns.code,
            "unit": patterns.unit, "web": self._web, "mail": self._mail, "random": self._random,
        }  # fmt: skip

    def _kind(self, rng: np.random.Generator) -> _Draw:
        return self._kinds[
            min(int(self._kind_ends.searchsorted(rng.random())), len(self._kinds) - 1)
        ]

    def _balance(self, random_fraction: float) -> None:
        """Let the random strings make up for what the other kinds, drawn once from a fixed seed,
        leave rare.
        """
        if not 0.0 < random_fraction < 1.0:
            return
        rng, texts = np.random.default_rng(0), []
        for _ in range(_TRIAL):
            kind = self._kind(rng)
            text = "" if kind is self._random else self._spelling.fit(kind(rng))
            if 0 < len(text) <= self.max_length:
                texts.append(text)
        mean = sum(map(len, texts)) / max(len(texts), 1)
        ours = random_fraction * self._random.mean_length()
        self._random.balance(
            texts, fraction=ours / (ours + (1.0 - random_fraction) * max(mean, 0.1))
        )

    def _accented(self, word: str, rng: np.random.Generator) -> str:
        """Put accents that the charset has on a tenth of the words, so that letters with them stand
        among others.
        """
        if not self._accents or rng.random() >= 0.1:
            return word
        return "".join(
            pick(rng, self._accents[char]) if char in self._accents and rng.random() < 0.4 else char
            for char in word
        )

    def _fitted_corpus(self) -> Vocabulary | None:
        if self.corpus is None:
            return None
        rng = np.random.default_rng(0)

        def fit(word: str) -> list[str]:
            spelled = [self._spelling.own(char) for char in word]
            if None in spelled:
                return []
            return cut("".join(form for form in spelled if form), self.max_length, rng)

        fitted = self.corpus.fitted(
            lambda word: [part for part in fit(word) if part and not is_mark(part[0])]
        )
        if not fitted.words:
            lacking = "".join(
                dict.fromkeys(char for word in self.corpus.words[:50] for char in word)
            )
            raise ValueError(
                f"no word of the corpus fits a charset of {len(self.charset)} characters and at "
                f"most {self.max_length} "
                f"of them; its first words are written with {lacking[:60]!r}: add them to the "
                "charset"
            )
        return fitted

    def _plain_word(self, rng: np.random.Generator) -> str:
        return self._lists["words"].pick(rng) if self._lists["words"].words else ""

    def _word(self, rng: np.random.Generator) -> str:
        return self._accented(_cased(self._plain_word(rng), rng), rng)

    def _invented(self, rng: np.random.Generator) -> str:
        return self._accented(_cased(patterns.invented(rng), rng), rng)

    def _corpus_word(self, rng: np.random.Generator) -> str:
        assert self._own is not None, "checked with the mixture"
        word = self._own.pick(rng)
        return _cased(word, rng) if self.corpus_case == "mix" else word

    def _name(self, rng: np.random.Generator) -> str:
        names = self._lists["names"]
        name, roll = names.pick(rng) if names.words else "", rng.random()
        if roll < 0.4:
            return name.upper()
        return name.lower() if roll < 0.45 else name

    def _european(self, rng: np.random.Generator) -> str:
        words = self._lists["words-europe"]
        return _cased(words.pick(rng), rng) if words.words else ""

    def _marked(self, rng: np.random.Generator) -> str:
        draw = self._word if self._own is None else self._corpus_word
        roll = rng.random()
        if roll < 0.2 and self._own is None:
            return pick(rng, PHRASES)
        word = draw(rng)
        if roll < 0.35:
            return pick(rng, STARTS) + word
        if roll < 0.5:
            pair = pick(rng, BRACKETS)
            return f"{pair[0]}{word}{pair[1]}"
        if roll < 0.65:
            return f"{word}{pick(rng, self._joints)}{draw(rng)}" if self._joints else word
        if roll < 0.7:
            return "".join(
                f"{pick(rng, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ')}."
                for _ in range(1 + int(rng.random() * 3))
            )
        return word + pick(rng, ENDINGS)

    def _web(self, rng: np.random.Generator) -> str:
        name = self._plain_word(rng) if rng.random() < 0.7 else patterns.invented(rng)
        address, roll = f"{name}.{pick(rng, DOMAINS)}", rng.random()
        if roll < 0.5:
            address = f"www.{address}"
        elif roll < 0.6:
            address = f"{pick(rng, ('http://', 'https://'))}{address}"
        elif roll < 0.7:
            address = f"{address}/{self._plain_word(rng)}"
        elif roll < 0.8:
            address = f"{pick(rng, '@#')}{name}{pick(rng, ('', '', '_', '1', '24', '99'))}"
        return address.upper() if rng.random() < 0.15 else address

    def _mail(self, rng: np.random.Generator) -> str:
        own = (self._plain_word(rng), self._name(rng).lower())
        user = pick(rng, (*_MAILBOXES, *own))
        address = f"{user}@{self._plain_word(rng)}.{pick(rng, DOMAINS)}"
        return address.upper() if rng.random() < 0.1 else address


def _rebuild(
    charset: str,
    max_length: int,
    corpus: Vocabulary | None,
    corpus_case: Literal["keep", "mix"],
    mixture: Mapping[str, float],
    lengths: Sequence[int] | None,
) -> TextSampler:
    return TextSampler(
        charset=charset,
        max_length=max_length,
        corpus=corpus,
        corpus_case=corpus_case,
        mixture=mixture,
        lengths=lengths,
    )
