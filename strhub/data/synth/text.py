"""Texts for drawn training words.

In: a charset, a length limit and, per call, a random generator. Out: one string per call that holds only
characters of that charset. The mix follows what stands on signs, packs and screens: mostly words, then numbers,
prices, dates, codes and web addresses. Invented words and uniformly random strings keep a model from learning
the vocabulary instead of the letters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np

__all__ = ["TextSampler"]

_WORDS_FILE = Path(__file__).with_name("words.txt")
# Softer than Zipf's law: with exponent 1 a handful of function words would fill a quarter of all pictures.
_ZIPF_EXPONENT = 0.6
_ZIPF_OFFSET = 60.0
_ONSETS = "b c d f g h j k l m n p qu r s t v w y z bl br ch cl cr dr fl fr gl gr ph pl pr sc sh sl sp st str th tr"
_VOWELS = "a e i o u a e i o a e o ai au ay ea ee ei ia ie io oa oo ou"
_CODAS = "b d g k l m n p r s t x ck ct ft ld ll lt mp nd ng nk nt rd rk rn rt sh ss st th"
_DOMAINS = ("com", "com", "com", "org", "net", "co.uk", "de", "fr", "info", "edu", "gov", "io")
_SUFFIXES = ("'s", "'s", "'s", ".", ".", ",", "!", "!", "?", ":", ";", "...", "*", "-")
_PHRASES = (
    "don't", "Co.", "50%", "#1", "No.", "St.", "Mr.", "Mrs.", "Dr.", "Ltd.", "Inc.", "it's", "can't", "won't",
    "we're", "you'll", "I'm", "let's", "o'clock", "&", "R&B", "B&B", "Q&A", "A/C", "24/7", "3D", "1st", "2nd",
    "3rd", "4th", "24h", "24hrs", "100%", "5kg", "500ml", "1.5L", "10am", "9pm", "(c)", "e-mail", "T-shirt",
    "U.S.A.", "P.O.", "a.m.", "p.m.", "+", "=", "@home", "C++", "K-9", "x2", "<", ">", "50/50", "A+", "vs.",
)  # fmt: skip
_Draw = Callable[[np.random.Generator], str]


def _pick(rng: np.random.Generator, options: tuple[str, ...] | str) -> str:
    return options[int(rng.integers(len(options)))]


def _digits(rng: np.random.Generator, low: int, high: int) -> str:
    """Returns low..high (both included) decimal digits, leading zeros allowed."""
    return "".join(_pick(rng, "0123456789") for _ in range(int(rng.integers(low, high + 1))))


def _number(rng: np.random.Generator) -> str:
    form = int(rng.integers(6))
    if form == 0:
        return f"{int(rng.integers(1, 10**6)):,}"
    if form == 1:
        return f"{rng.uniform(0, 100):.{int(rng.integers(1, 3))}f}"
    if form == 2:
        return f"{_digits(rng, 3, 3)}-{_digits(rng, 3, 4)}"
    if form == 3:
        return f"{int(rng.integers(1900, 2030))}"
    return _digits(rng, 1, int(rng.choice([2, 3, 4, 6, 10])))


def _price(rng: np.random.Generator) -> str:
    cents = _pick(rng, ("00", "99", "95", "50", _digits(rng, 2, 2)))
    amount = f"{int(10 ** rng.uniform(0, 3.3))}" + (f"{_pick(rng, '..,')}{cents}" if rng.random() < 0.7 else "")
    form = int(rng.integers(5))
    if form == 0:
        return amount + _pick(rng, "€£$")
    if form == 1:
        return f"{int(rng.integers(1, 20)) * 5}%"
    return _pick(rng, "$$$£€") + amount


def _date(rng: np.random.Generator) -> str:
    day, month, year = int(rng.integers(1, 32)), int(rng.integers(1, 13)), int(rng.integers(1950, 2030))
    mark = _pick(rng, "./-")
    if rng.random() < 0.2:
        return f"{year}-{month:02d}-{day:02d}"
    short = f"{year % 100:02d}" if rng.random() < 0.5 else str(year)
    return f"{day:02d}{mark}{month:02d}{mark}{short}" if rng.random() < 0.7 else f"{day}{mark}{month}"


def _time(rng: np.random.Generator) -> str:
    hour, minute = int(rng.integers(24)), int(rng.integers(60))
    mark = _pick(rng, "::.")
    half = _pick(rng, ("am", "pm", "AM", "PM"))
    opening = f"{hour}{mark}00-{minute % 24}{mark}30"
    return _pick(rng, (f"{hour:02d}{mark}{minute:02d}", f"{hour % 12 + 1}{half}", opening))


def _code(rng: np.random.Generator) -> str:
    parts = []
    for _ in range(int(rng.integers(1, 4))):
        letters = "".join(_pick(rng, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(int(rng.integers(1, 4))))
        parts.append(_pick(rng, (letters, letters, _digits(rng, 1, 4))))
    if not any(part.isdigit() for part in parts):
        parts.append(_digits(rng, 1, 4))
    return _pick(rng, ("", "", "-", ".", "/")).join(parts)


def _part(rng: np.random.Generator, parts: str) -> str:
    return _pick(rng, tuple(parts.split()))


def _invented(rng: np.random.Generator) -> str:
    """Returns a pronounceable lower case word of 1..4 syllables that need not exist."""
    syllables = int(rng.choice([1, 2, 3, 4], p=[0.2, 0.45, 0.28, 0.07]))
    word = "" if rng.random() < 0.15 else _part(rng, _ONSETS)
    for _ in range(syllables - 1):
        word += _part(rng, _VOWELS) + _part(rng, _ONSETS)
    word += _part(rng, _VOWELS)
    return word if rng.random() < 0.1 else word + _part(rng, _CODAS)


def _cased(word: str, rng: np.random.Generator) -> str:
    """Upper case leads because signs shout; mixed case inside a word stays rare as it is in the world."""
    roll = rng.random()
    if roll < 0.42:
        return word.upper()
    return word.lower() if roll < 0.70 else word[:1].upper() + word[1:].lower()


class TextSampler:
    """Draws texts of 1..max_length characters that all belong to `charset`.

    Args:
        charset: the characters a text may hold, in any order; whitespace in it is never drawn. With letters of
            one case only, words are cased to fit; other characters outside the charset are left out.
        max_length: longest text in characters, at least 1.

    Raises:
        ValueError: if the charset holds no visible character or `max_length` is below 1.
    """

    def __init__(self, *, charset: str, max_length: int) -> None:
        visible = "".join(char for char in dict.fromkeys(charset) if not char.isspace())
        if not visible:
            raise ValueError(f"charset {charset!r} holds no visible character; pass at least one letter, digit or sign")
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {max_length}; 25 is a usual choice")
        self.charset = visible
        self.max_length = int(max_length)
        self._allowed = frozenset(visible)
        self._words = tuple(_WORDS_FILE.read_text(encoding="utf-8").split())
        weights = (np.arange(len(self._words)) + _ZIPF_OFFSET) ** -_ZIPF_EXPONENT
        self._word_ends: np.ndarray = np.cumsum(weights / weights.sum())
        self._accents = _accented_forms(visible)
        mix: tuple[tuple[float, _Draw], ...] = (
            (0.44, self._word), (0.14, lambda rng: _cased(_invented(rng), rng)), (0.12, self._random),
            (0.07, self._marked), (0.07, _code), (0.06, _number), (0.04, _price), (0.03, self._web),
            (0.02, _date), (0.01, _time),
        )  # fmt: skip
        self._kinds = tuple(kind for _, kind in mix)
        self._kind_ends: np.ndarray = np.cumsum([share for share, _ in mix])

    def __call__(self, rng: np.random.Generator) -> str:
        """Returns one text, never empty, drawn from `rng` alone."""
        kind = self._kinds[min(int(np.searchsorted(self._kind_ends, rng.random())), len(self._kinds) - 1)]
        for _ in range(6):
            text = self._fit(kind(rng), rng)
            if 0 < len(text) <= self.max_length:
                return text
        # A limit of a few characters leaves nearly every kind too long: random strings always fit.
        return self._random(rng)

    def __reduce__(self) -> tuple[Callable[[str, int], TextSampler], tuple[str, int]]:
        return _rebuild, (self.charset, self.max_length)

    def _fit(self, text: str, rng: np.random.Generator) -> str:
        """Casts `text` into the charset: swaps case where only the other case is allowed, drops the rest."""
        fitted = []
        accent = bool(self._accents) and rng.random() < 0.3
        for char in text:
            if accent and char in self._accents and rng.random() < 0.4:
                char = _pick(rng, self._accents[char])
            for form in (char, char.lower(), char.upper()):
                if form in self._allowed:
                    fitted.append(form)
                    break
        return "".join(fitted)

    def _plain_word(self, rng: np.random.Generator) -> str:
        return self._words[min(int(np.searchsorted(self._word_ends, rng.random())), len(self._words) - 1)]

    def _word(self, rng: np.random.Generator) -> str:
        return _cased(self._plain_word(rng), rng)

    def _random(self, rng: np.random.Generator) -> str:
        length = int(rng.integers(1, min(self.max_length, 10) + 1))
        # Now and then the full length, so that late positions are seen with every character too.
        if rng.random() < 0.2:
            length = int(rng.integers(1, self.max_length + 1))
        return "".join(_pick(rng, self.charset) for _ in range(length))

    def _marked(self, rng: np.random.Generator) -> str:
        roll, word = rng.random(), self._word(rng)
        if roll < 0.3:
            return _pick(rng, _PHRASES)
        if roll < 0.4:
            return f"{_pick(rng, '([' + chr(34) + chr(39))}{word}"
        if roll < 0.5:
            return f"{word}{_pick(rng, '&-/+')}{self._word(rng)}"
        if roll < 0.6:
            return "".join(f"{_pick(rng, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ')}." for _ in range(int(rng.integers(1, 4))))
        return word + _pick(rng, _SUFFIXES)

    def _web(self, rng: np.random.Generator) -> str:
        name = self._plain_word(rng) if rng.random() < 0.7 else _invented(rng)
        address = f"{name}.{_pick(rng, _DOMAINS)}"
        roll = rng.random()
        if roll < 0.5:
            address = f"www.{address}"
        elif roll < 0.65:
            address = f"{self._plain_word(rng)}@{address}"
        elif roll < 0.75:
            address = f"@{name}{_digits(rng, 0, 2)}"
        return address.upper() if rng.random() < 0.15 else address


def _rebuild(charset: str, max_length: int) -> TextSampler:
    return TextSampler(charset=charset, max_length=max_length)


def _accented_forms(charset: str) -> dict[str, str]:
    """Maps a base letter to the charset's letters built on it, such as 'a' to 'äà'."""
    forms: dict[str, str] = {}
    for char in charset:
        base = unicodedata.normalize("NFD", char)[0]
        if base != char:
            forms[base] = forms.get(base, "") + char
    return forms
