"""Confidence that means something: of the words read with confidence 0.8, eight in ten should be
right.

In: logits of words and whether each was read right. Out: a temperature to divide logits by, a
correction of words that were looked at again, and how far confidence and accuracy are apart (Guo et
al. 2017, "On Calibration of Modern Neural Networks"). NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from strhub.text.correction import Calibration, Correction, calibration_terms, log_odds

Array: TypeAlias = npt.NDArray[Any]

LOWEST, HIGHEST = 0.2, 5.0  # temperatures looked at
_GOLDEN = (5**0.5 - 1) / 2
_NEWTON_STEPS = 30
_LEAST_STEP = 1e-6
_FAR = 100.0  # log-odds beyond which nothing changes
_HELD = 4.0  # weight of the default correction
_HELD_CALIBRATION = 1.0  # and calibration
_ONE_SURER = 1 / (1 + exp(-1))  # a confidence of log-odds 1


def sequence_confidence(logits: Array, temperature: float) -> float:
    """Return the product over the steps of the greatest probability: logits (L, C) of the steps
    that make a text; in [0, 1].
    """
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(-1, keepdims=True)
    return float(np.exp(-np.log(np.exp(scaled).sum(-1)).sum()))


def fit_temperature(logits: Sequence[Array], right: Sequence[bool]) -> float:
    """Return the temperature in [0.2, 5] under which confidences best predict which of the words
    are right.

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

    def loss(log_temperature: float) -> float:
        temperature = exp(log_temperature)
        confidences = np.array([sequence_confidence(word, temperature) for word in logits]).clip(
            1e-9, 1 - 1e-9
        )
        return -float(np.where(verdicts, np.log(confidences), np.log1p(-confidences)).mean())

    return exp(_least(loss, log(LOWEST), log(HIGHEST)))


def _least(function: Any, low: float, high: float, tolerance: float = 1e-3) -> float:
    """Return where a unimodal function is least between `low` and `high`, by golden-section
    search.
    """
    while high - low > tolerance:
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, right) if function(left) <= function(right) else (left, high)
    return (low + high) / 2


def fit_correction(
    evidence: Sequence[tuple[float, float]],
    right: Sequence[bool],
    texts: Sequence[str] | None = None,
    calibration: Calibration | None = None,
) -> Correction:
    """Return the correction under which confidences best predict which words that were looked at
    again are right.

    evidence: of each word, as `strhub.inference.rereading.evidence` gives it; texts: what was read,
    if a calibration follows. A logistic regression by Newton's method, held to the default
    correction as by a few words, so that few words do not lead far from it. `ValueError` without
    words, or without as many of each.
    """
    texts = [""] * len(evidence) if texts is None else texts
    if not evidence or not len(evidence) == len(right) == len(texts):
        raise ValueError(
            f"{len(evidence)} words, {len(right)} verdicts on them and {len(texts)} texts: need as "
            "many of each, and some"
        )
    odds = np.array([[log_odds(best), log_odds(first), 1.0] for best, first in evidence])  # (N, 3)
    if calibration is None:
        return Correction(*_regress(odds, right, np.array(Correction()), _HELD))
    weights = np.array(calibration)
    doubtful = np.array([calibration_terms(0.5, text) for text in texts]) @ weights  # (N,)
    surer = np.array([calibration_terms(_ONE_SURER, text) for text in texts]) @ weights
    slopes = surer - doubtful  # of the calibrated log-odds, by the corrected ones
    odds = slopes[:, None] * odds
    return Correction(*_regress(odds, right, np.array(Correction()), _HELD, doubtful))


def fit_calibration(
    confidences: Sequence[float], texts: Sequence[str], right: Sequence[bool]
) -> Calibration:
    """Return the calibration under which confidences best predict which texts are right; see
    `fit_correction`.

    texts: what was read, none of them empty. `ValueError` without words, or without as many of
    each.
    """
    if not len(confidences) == len(texts) == len(right) > 0:
        raise ValueError(
            f"{len(confidences)} confidences, {len(texts)} texts and {len(right)} verdicts: need "
            "as many of each, and at least one"
        )
    rows = [calibration_terms(one, text) for one, text in zip(confidences, texts, strict=True)]
    default = np.array(Calibration())
    return Calibration(*_regress(np.array(rows), right, default, _HELD_CALIBRATION))


def _regress(
    odds: Array, right: Sequence[bool], default: Array, held: float, offset: Array | float = 0.0
) -> list[float]:
    """Return the weights of a logistic regression (N, K) by Newton's method, held to the default
    ones by a weight. A step that would lead too far is halved. given: log-odds (N,) that are added.
    """
    verdicts, found = np.asarray(right, dtype=np.float64), default

    def loss(weights: Array) -> float:
        total = odds @ weights + offset
        likelihoods = np.logaddexp(0, total) - verdicts * total
        return float(likelihoods.sum() + held / 2 * np.square(weights - default).sum())

    for _ in range(_NEWTON_STEPS):
        sure = 1 / (1 + np.exp(-(odds @ found + offset).clip(-_FAR, _FAR)))
        slope = odds.T @ (sure - verdicts) + held * (found - default)
        curvature = (odds * (sure * (1 - sure))[:, None]).T @ odds + held * np.eye(len(default))
        step, before = np.linalg.solve(curvature, slope), loss(found)
        while loss(found - step) > before and np.abs(step).max() > _LEAST_STEP:
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
    """Return the mean distance, in [0, 1], of confidence and accuracy over `bins` equal parts of
    [0, 1], weighed by words.
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


class CalibrationError(NamedTuple):
    """The expected calibration error of words, in [0, 1].

    plain: as it is usually told, above the true one, since chance parts confidence and accuracy in
    each bin; estimate: without what chance adds; low, high: where the true one is, 95 %.
    """

    plain: float
    estimate: float
    low: float
    high: float


def calibration_error(
    confidences: Sequence[float], right: Sequence[bool], *, bins: int = 15, trials: int = 500
) -> CalibrationError:
    """Return the expected calibration error with and without what chance adds, and an interval.

    What chance adds is what it would add once more to the accuracies that were found, drawn anew in
    each bin (Kumar et al. 2019, "Verified Uncertainty Calibration"). The interval is a basic
    bootstrap over words: how far the estimate falls from what words are drawn from.
    """
    values = np.asarray(confidences, dtype=np.float64)
    verdicts = np.asarray(right, dtype=np.float64)
    plain, rng = expected_calibration_error(confidences, right, bins=bins), np.random.default_rng(0)
    estimate, offs = _without_chance(values, verdicts, bins, rng), []
    for _ in range(trials):
        chosen = rng.integers(len(values), size=len(values))
        offs.append(_without_chance(values[chosen], verdicts[chosen], bins, rng) - plain)
    low, high = estimate - np.quantile(offs, [0.975, 0.025])
    return CalibrationError(
        plain, max(0.0, estimate), float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))
    )


def _without_chance(values: Array, verdicts: Array, bins: int, rng: Any, draws: int = 100) -> float:
    """Return the error less what chance adds, which may be a little below 0."""
    indices = np.minimum((values * bins).astype(int), bins - 1)
    words = np.bincount(indices, minlength=bins)
    filled = words > 0
    words = words[filled]
    confidence = np.bincount(indices, values, bins)[filled] / words
    accuracy = np.bincount(indices, verdicts, bins)[filled] / words
    spread = np.sqrt(accuracy * (1 - accuracy) / words)
    resampled = accuracy + spread * rng.standard_normal((draws, len(words)))
    weights = words / len(values)
    plain = float(weights @ np.abs(confidence - accuracy))
    return 2 * plain - float((np.abs(confidence - resampled) @ weights).mean())
