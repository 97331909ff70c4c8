"""How far a measured number may be from the true one, and whether two readers differ.

In: counts. Out: intervals and probabilities. NumPy only; a million words take no more memory than a
    thousand.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, lgamma, log, sqrt
from typing import Final, NamedTuple

import numpy as np

__all__ = [
    "ANYTHING",
    "Interval",
    "bootstrap_mean",
    "bootstrap_ratio",
    "exact_mcnemar",
    "paired_bootstrap",
    "wilson",
]

Z: Final = 1.959963984540054  # the normal distribution's 97.5 % point
RESAMPLES: Final = 2000
_LEVELS: Final = (2.5, 97.5)  # percent


class Interval(NamedTuple):
    """A measured value and the limits of its 95 % interval."""

    value: float
    low: float
    high: float


ANYTHING: Final = Interval(0.0, 0.0, 1.0)
"""Of a fraction of which nothing is known."""


def wilson(successes: float, trials: float) -> Interval:
    """Return the fraction of successes with Wilson's score interval (Wilson 1927); [0, 1] without
    any trial.
    """
    if trials <= 0:
        return ANYTHING
    fraction = successes / trials
    spread = Z**2 / trials
    center = (fraction + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * sqrt(fraction * (1 - fraction) / trials + spread / (4 * trials))
    low = 0.0 if successes == 0 else max(0.0, center - half)
    high = 1.0 if successes == trials else min(1.0, center + half)
    return Interval(fraction, low, high)


def bootstrap_mean(counts: Mapping[float, int], *, seed: int = 0) -> Interval:
    """Return the mean of values with its percentile bootstrap interval (Efron 1979).

    counts: how often each value occurs: resampling words is drawing those counts, however many
        words there are.
    """
    return bootstrap_ratio({(value, 1.0): count for value, count in counts.items()}, seed=seed)


def bootstrap_ratio(counts: Mapping[tuple[float, float], int], *, seed: int = 0) -> Interval:
    """Return the ratio of two sums over words, such as of edits and characters, with its bootstrap
    interval.

    counts: how often each pair of numerator and denominator occurs; [0, 0, 1] if there are none.
    """
    if not counts or not any(below for _, below in counts):
        return ANYTHING
    pairs = np.array(sorted(counts), dtype=np.float64)  # (N, 2)
    often = np.array([counts[above, below] for above, below in pairs.tolist()], dtype=np.int64)
    resampled = np.random.default_rng(seed).multinomial(
        often.sum(), often / often.sum(), size=RESAMPLES
    )
    sums = resampled @ pairs  # (RESAMPLES, 2)
    above, below = often @ pairs
    low, high = np.percentile(sums[:, 0] / np.maximum(sums[:, 1], 1e-12), _LEVELS)
    return Interval(float(above / below), float(low), float(high))


def exact_mcnemar(only_first: int, only_second: int) -> float:
    """Return how likely a difference at least as large is by chance, of two readers of the same
    words.

    only_first, only_second: words that one of them alone reads right. McNemar's test with the
    binomial distribution, two-sided; 1 where they read right the same number.
    """
    trials, fewer = only_first + only_second, min(only_first, only_second)
    if 2 * fewer == trials:
        return 1.0
    terms = [_log_choose(trials, index) - trials * log(2) for index in range(fewer + 1)]
    greatest = max(terms)
    return min(1.0, 2 * exp(greatest) * sum(exp(term - greatest) for term in terms))


def paired_bootstrap(only_first: int, only_second: int, words: int, *, seed: int = 0) -> Interval:
    """Return by how much the first reader's accuracy is above the second's, with its bootstrap
    interval.

    Words are resampled in pairs: what both read right, or neither, cancels out.
    """
    if not words:
        return Interval(0.0, -1.0, 1.0)
    counts = {1.0: only_first, -1.0: only_second, 0.0: words - only_first - only_second}
    return bootstrap_mean({value: count for value, count in counts.items() if count}, seed=seed)


def _log_choose(trials: int, chosen: int) -> float:
    return lgamma(trials + 1) - lgamma(chosen + 1) - lgamma(trials - chosen + 1)
