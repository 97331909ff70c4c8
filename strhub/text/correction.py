"""How sure a text may be called: what a network says, corrected by what was measured on words of
known labels.

`Correction` is for texts that were read in several views of an image, `Calibration` for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log
from operator import mul
from typing import Any, Final, NamedTuple

CORRECTION: Final = "reread_correction"
"""Name of the correction among a model's hyper-parameters and in an exported file's description."""
CALIBRATION: Final = "calibration"
"""Name of the calibration there."""
_LEAST: Final = 1e-3  # closer to 0 and 1, confidences of several looks carry no information
_LEAST_OF_ALL: Final = 1e-4  # and those of all texts
_SHORT: Final = (2, 3)  # characters
_WORDS: Final = {3: "three", 4: "four", 6: "six"}
_MOST: Final = 100.0  # log-odds beyond which nothing changes


class Correction(NamedTuple):
    """Log-odds of being right: `best` times those of the best look, `first` times those of the
    first, and `offset`.

    The defaults were fitted to strhub-tiny, on words that it was not trained on.
    """

    best: float = 0.89
    first: float = 0.26
    offset: float = -0.45

    @classmethod
    def of(cls, hparams: Mapping[str, Any]) -> Correction:
        """Return the one that a model says of itself, else the default. `ValueError` if it is not
        three numbers.
        """
        stored = numbers_of(hparams, CORRECTION, 3)
        return cls() if stored is None else cls(*stored)

    def __call__(self, best: float, first: float) -> float:
        """Return the confidence, in [0, `best`], of a text by that of its best look and that of the
        first look.
        """
        odds = self.best * log_odds(best) + self.first * log_odds(first) + self.offset
        return min(best, 1 / (1 + exp(min(-odds, _MOST))))


class Calibration(NamedTuple):
    """Log-odds of being right: `scale` times those of the confidence, and `offset`; besides `known`
    for an English word, `short` for a text of two or three characters, and for a single one
    `single` and `single_scale` times its log-odds.

    A known word is more often right than another text that was read with the same confidence: what
    a network takes for one by mistake is seldom another one. But two or three letters are one by
    chance. And where a ground without text is read as something, that is one character, never with
    much confidence. By default confidences stay as they are.
    """

    scale: float = 1.0
    offset: float = 0.0
    known: float = 0.0
    single: float = 0.0
    single_scale: float = 0.0
    short: float = 0.0

    @classmethod
    def of(cls, hparams: Mapping[str, Any]) -> Calibration:
        """Return the one that a model says of itself, else the default. `ValueError` if it is not
        six numbers, or the first four.
        """
        stored = numbers_of(hparams, CALIBRATION, 4, 6)
        return cls() if stored is None else cls(*stored)

    def __call__(self, confidence: float, text: str) -> float:
        """Return how sure a text that was read with a confidence may be called, in [0, 1]; 0 if
        there is no text.
        """
        if not text or self == Calibration():
            return confidence
        known = bool(self.known) and is_known(text)  # reading the list of words takes a while
        odds = sum(map(mul, self, calibration_terms(confidence, text, known=known)))
        return 1 / (1 + exp(min(-odds, _MOST)))


def calibration_terms(
    confidence: float, text: str, *, known: bool | None = None
) -> tuple[float, ...]:
    """Return what each number of a `Calibration` is multiplied by, for a text that was read with a
    confidence. known: whether it is a known word; by default it is looked up.
    """
    odds, single = log_odds(confidence, _LEAST_OF_ALL), len(text) == 1
    if known is None:
        known = is_known(text)
    return (
        odds,
        1.0,
        float(known and not single),
        float(single),
        odds if single else 0.0,
        float(len(text) in _SHORT),
    )


def is_known(text: str) -> bool:
    """Return whether a text is an English word, in any case."""
    from strhub.text.word_prior import english_words

    return text.lower() in english_words()


def numbers_of(hparams: Mapping[str, Any], name: str, *counts: int) -> tuple[float, ...] | None:
    """Return what a model says of itself by that name, if it does; `ValueError` if it is not one of
    so many numbers.
    """
    stored = hparams.get(name)
    if stored is None:
        return None
    try:
        found = tuple(map(float, stored))
    except (TypeError, ValueError):
        found = ()
    if len(found) not in counts:
        hint = f"it must be {_WORDS[counts[-1]]} numbers, see strhub-model calibrate"
        raise ValueError(f"{name} is {stored!r}: {hint}")
    return found


def log_odds(confidence: float, least: float = _LEAST) -> float:
    """Return log(p / (1 - p)), p no nearer to 0 and 1 than `least`."""
    held = min(max(confidence, least), 1 - least)
    return log(held / (1 - held))
