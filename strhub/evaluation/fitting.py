"""What a model's confidences are fitted to, what is fitted, and how far the confidences of other
words are from the truth then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from strhub.evaluation.calibration import CalibrationError, calibration_error, calibration_noise
from strhub.text import ScoredText
from strhub.text.correction import CALIBRATION, CORRECTION, Calibration, Correction

__all__ = ["FITTED", "Fitted", "Verdict", "error_of", "scored"]

FITTED = (CORRECTION, CALIBRATION)
"""Hyper-parameters that `Fitted` has the values of."""


class Verdict(NamedTuple):
    """How sure a text was called, in [0, 1], the text, and whether it is right."""

    confidence: float
    text: str
    right: bool


class Fitted(NamedTuple):
    """What is fitted to words; by default what changes nothing."""

    correction: Correction = Correction()
    calibration: Calibration = Calibration()

    def hparams(self) -> dict[str, list[float]]:
        """Return it as hyper-parameters of a model."""
        return {CORRECTION: list(self.correction), CALIBRATION: list(self.calibration)}


def scored(charset: str) -> Callable[[str], str]:
    """Return what brings a text to the form in which it is compared with a label."""
    return ScoredText(charset)


def error_of(partitions: Sequence[Sequence[Verdict]]) -> dict[str, float]:
    """Return the calibration error, the mean over partitions of the same words; what perfect
    confidences would show on so many; and the error without what chance adds, with its interval.
    """
    errors, noises = [], []
    for verdicts in partitions:
        confidences, right = [one.confidence for one in verdicts], [one.right for one in verdicts]
        errors.append(calibration_error(confidences, right, trials=200))
        noises.append(calibration_noise(confidences))
    error = CalibrationError(*map(float, np.mean(errors, axis=0)))
    by_chance, most = map(float, np.mean(noises, axis=0))
    values = {
        "error": error.plain,
        "by_chance": by_chance,
        "at_most_by_chance": most,
        "without_chance": error.estimate,
        "low": error.low,
        "high": error.high,
    }
    return {name: round(value, 4) for name, value in values.items()}
