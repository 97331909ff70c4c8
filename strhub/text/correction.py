"""How sure a text may be called that was read in several views of an image: what it was read with, corrected."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log
from typing import Any, Final, NamedTuple

CORRECTION: Final = "reread_correction"
"""Name of the correction among a model's hyper-parameters and in an exported file's description."""
_LEAST: Final = 1e-3  # nearer to 0 and 1 confidences say no more
_MOST: Final = 100.0  # log-odds beyond which nothing changes


class Correction(NamedTuple):
    """Log-odds of being right: `best` times those of the best look, `first` times those of the first, and `offset`.

    The defaults were fitted to strhub-tiny, on words that it was not trained on.
    """

    best: float = 0.89
    first: float = 0.26
    offset: float = -0.45

    @classmethod
    def of(cls, hparams: Mapping[str, Any]) -> Correction:
        """Return the one that a model says of itself, else the default. `ValueError` if it is not three numbers."""
        stored = hparams.get(CORRECTION)
        if stored is None:
            return cls()
        try:
            best, first, offset = map(float, stored)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{CORRECTION} is {stored!r}: it must be three numbers, see tools/calibrate.py") from error
        return cls(best, first, offset)

    def __call__(self, best: float, first: float) -> float:
        """Return the confidence, in [0, `best`], of a text by that of its best look and that of the first look."""
        odds = self.best * log_odds(best) + self.first * log_odds(first) + self.offset
        return min(best, 1 / (1 + exp(min(-odds, _MOST))))


def log_odds(confidence: float) -> float:
    """Return log(p / (1 - p)), p no nearer to 0 and 1 than 0.001."""
    held = min(max(confidence, _LEAST), 1 - _LEAST)
    return log(held / (1 - held))
