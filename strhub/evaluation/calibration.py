"""Confidence that means something: of the words read with confidence 0.8, eight in ten should be
right.

In: logits of words and whether each was read right. Out: a temperature to divide logits by, a
correction of words that were looked at again, and how far confidence and accuracy are apart (Guo et
al. 2017, "On Calibration of Modern Neural Networks"). NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from strhub.text.correction import Calibration, Correction, log_odds

Array: TypeAlias = npt.NDArray[Any]

LOWEST, HIGHEST = 0.2, 5.0  # temperatures looked at
_GOLDEN = (5**0.5 - 1) / 2
_NEWTON_STEPS = 30
_LEAST_STEP = 1e-6
_FAR = 100.0  # log-odds beyond which nothing changes
_HELD = 4.0  # weight of the default correction
_HELD_CALIBRATION = 1.0  # and calibration
_LEAST = 1e-4  # nearer to 0 and 1 confidences say no more


def sequence_confidence(logits: Array, temperature: float) -> float:
    """Product over the steps of the greatest probability: logits (L, C) of the steps that make a
    text; in [0, 1].
    """
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(-1, keepdims=True)
    return float(np.exp(-np.log(np.exp(scaled).sum(-1)).sum()))


def fit_temperature(logits: Sequence[Array], right: Sequence[bool]) -> float:
    """The temperature in [0.2, 5] under which confidences best predict which of the words are
    right.

    logits: (L, C) of each word, the steps that make its text alone; right: of each word. Best is
    the least mean negative log-likelihood of `right`. Raises `ValueError` unless there are both
    right and wrong words.
    """
    if len(logits) != len(right):
        raise ValueError(f"there are {len(logits)} words but {len(right)} verdicts on them")
    if len(set(map(bool, right))) < 2:
        raise ValueError(
            "a temperature cannot be fitted: all words were read right, or all of them wrong"
        )
    verdicts = np.asarray(right, dtype=bool)

    def misfit(log_temperature: float) -> float:
        temperature = exp(log_temperature)
        confidences = np.array([sequence_confidence(word, temperature) for word in logits]).clip(
            1e-9, 1 - 1e-9
        )
        return -float(np.where(verdicts, np.log(confidences), np.log1p(-confidences)).mean())

    return exp(_least(misfit, log(LOWEST), log(HIGHEST)))


def _least(function: Any, low: float, high: float, tolerance: float = 1e-3) -> float:
    """Where a function with one valley between `low` and `high` is least, by golden-section
    search.
    """
    while high - low > tolerance:
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, right) if function(left) <= function(right) else (left, high)
    return (low + high) / 2


def fit_correction(evidence: Sequence[tuple[float, float]], right: Sequence[bool]) -> Correction:
    """Return the correction under which confidences best predict which words that were looked at
    again are right.

    evidence: of each word, as `strhub.inference.rereading.evidence` gives it. A logistic regression
    by Newton's method, held to the default correction as by a few words, so that few words do not
    lead far from it. `ValueError` without words, or without as many verdicts.
    """
    if not evidence or len(evidence) != len(right):
        raise ValueError(
            f"{len(evidence)} words and {len(right)} verdicts on them: need as many of both, and "
            "some"
        )
    odds = np.array([[log_odds(best), log_odds(first), 1.0] for best, first in evidence])  # (N, 3)
    return Correction(*_regress(odds, right, np.array(Correction()), _HELD))


def fit_calibration(
    confidences: Sequence[float],
    known: Sequence[bool],
    single: Sequence[bool],
    right: Sequence[bool],
) -> Calibration:
    """Return the calibration under which confidences best predict which texts are right; see
    `fit_correction`.

    known, single: of each text, whether it is a known word, and whether it has one character.
    `ValueError` without words, or without as many of each.
    """
    counts = sorted({len(confidences), len(known), len(single), len(right)})
    if len(counts) > 1 or not counts[0]:
        raise ValueError(f"confidences, words and verdicts: {counts} of them: need as many of each")
    rows = zip(confidences, known, single, strict=True)
    odds = np.array(
        [[log_odds(one, _LEAST), 1.0, float(word), float(few)] for one, word, few in rows]
    )  # (N, 4)
    return Calibration(*_regress(odds, right, np.array(Calibration()), _HELD_CALIBRATION))


def _regress(odds: Array, right: Sequence[bool], default: Array, held: float) -> list[float]:
    """Return the weights of a logistic regression (N, K) by Newton's method, held to the default
    ones by a weight. A step that would lead too far is halved.
    """
    verdicts, found = np.asarray(right, dtype=np.float64), default

    def misfit(weights: Array) -> float:
        likelihoods = np.logaddexp(0, odds @ weights) - verdicts * (odds @ weights)
        return float(likelihoods.sum() + held / 2 * np.square(weights - default).sum())

    for _ in range(_NEWTON_STEPS):
        sure = 1 / (1 + np.exp(-(odds @ found).clip(-_FAR, _FAR)))
        slope = odds.T @ (sure - verdicts) + held * (found - default)
        curvature = (odds * (sure * (1 - sure))[:, None]).T @ odds + held * np.eye(len(default))
        step, before = np.linalg.solve(curvature, slope), misfit(found)
        while misfit(found - step) > before and np.abs(step).max() > _LEAST_STEP:
            step = step / 2
        found = found - step
    return [round(float(value), 3) for value in found]


def calibration_noise(confidences: Sequence[float], *, trials: int = 300) -> tuple[float, float]:
    """Return the error that perfect confidences would show, by chance: its mean, and what it
    exceeds 1 time in 20.

    Each word is taken for right with the probability of its confidence, so often: few words show an
    error, however good their confidences are.
    """
    values, rng = np.asarray(confidences, dtype=np.float64), np.random.default_rng(0)
    errors = [
        expected_calibration_error(confidences, (rng.random(len(values)) < values).tolist())
        for _ in range(trials)
    ]
    return float(np.mean(errors)), float(np.quantile(errors, 0.95))


def expected_calibration_error(
    confidences: Sequence[float], right: Sequence[bool], *, bins: int = 15
) -> float:
    """Mean distance, in [0, 1], of confidence and accuracy over `bins` equal parts of [0, 1],
    weighed by words.
    """
    if not len(confidences) or len(confidences) != len(right):
        raise ValueError(
            f"{len(confidences)} confidences and {len(right)} verdicts: need as many of both, and "
            "some"
        )
    values, verdicts = (
        np.asarray(confidences, dtype=np.float64),
        np.asarray(right, dtype=np.float64),
    )
    indices = np.minimum((values * bins).astype(int), bins - 1)
    gaps = np.bincount(indices, weights=values - verdicts, minlength=bins)
    return float(np.abs(gaps).sum() / len(values))
