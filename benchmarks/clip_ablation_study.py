"""The raw results of a contrastive ablation, by arm and seed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from strhub.evaluation.calibration import expected_calibration_error

KNOWN, UNKNOWN = "in the training words", "not in them"
SURE, UNSURE = "surer of before", "less sure of before"
ENOUGH = 0.75  # of the seeds of the arm that has most
Verdicts = np.ndarray[Any, np.dtype[np.bool_]]


def as_digits(per_mille: Sequence[int]) -> str:
    """Return confidences as two digits each, percent."""
    return "".join(f"{min(99, one // 10):02d}" for one in per_mille)


def from_digits(digits: str) -> np.ndarray[Any, Any]:
    """Return confidences in percent."""
    return np.array([int(digits[at : at + 2]) for at in range(0, len(digits), 2)])


def unpacked(digits: str, count: int) -> Verdicts:
    """Return verdicts, of hexadecimal digits."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8))[:count].astype(bool)


class Study:
    """Raw results by arm: only seeds that every arm has count, and only arms that have nearly as
    many as the one with the most, unless they are named. Runs of more steps than most are apart:
    they show how near the others are to their plateau. only: the arms that count.
    """

    def __init__(self, raw: Mapping[str, Any], only: Sequence[str] | None = None) -> None:
        self.counts, self.known, self.start = raw["words"], raw["known"], raw.get("start") or {}
        self.main = "val" if "val" in self.counts else next(iter(self.counts))
        usual = Counter(run["steps"] for run in raw["runs"]).most_common(1)[0][0]
        self.longer = [run for run in raw["runs"] if run["steps"] > usual]
        chosen = [
            run
            for run in raw["runs"]
            if run["steps"] == usual and (only is None or run["arm"] in only)
        ]
        arms = list(dict.fromkeys(run["arm"] for run in chosen))
        by = {(run["arm"], run["seed"]): run for run in chosen}
        runs = {arm: sum(run["arm"] == arm for run in chosen) for arm in arms}
        most = max(runs.values())
        arms = [arm for arm in arms if only or runs[arm] >= ENOUGH * most]
        seeds = sorted({run["seed"] for run in chosen})
        self.seeds = [seed for seed in seeds if all((arm, seed) in by for arm in arms)]
        self.runs = {arm: [by[arm, seed] for seed in self.seeds] for arm in arms}
        self.arms = arms

    def right(self, arm: str, kind: str, chosen: Verdicts | None = None) -> Verdicts:
        """Return which words each seed reads right, (seeds, words)."""
        count = self.counts[kind]
        rows = np.stack([unpacked(run["right"][kind], count) for run in self.runs[arm]])
        return rows if chosen is None else rows[:, chosen]

    def parts(self) -> dict[str, tuple[str, Verdicts | None]]:
        """Return what is told apart: names, each a kind of words and which of them."""
        known = unpacked(self.known[self.main], self.counts[self.main])
        parts: dict[str, tuple[str, Verdicts | None]] = {self.main: (self.main, None)}
        if known.any() and not known.all():
            parts |= {KNOWN: (self.main, known), UNKNOWN: (self.main, ~known)}
        sure = from_digits(self.start.get("percent_sure", ""))
        if len(sure):
            half = sure >= np.median(sure)
            parts |= {UNSURE: (self.main, ~half), SURE: (self.main, half)}
        return parts | {kind: (kind, None) for kind in self.counts if kind != self.main}

    def calibration(self, arm: str, *, refitted: bool = False) -> list[float]:
        """Return the expected calibration error of each seed, in percent.

        refitted: of confidences to a power that is fitted to the other half of the words.
        """
        errors = []
        for run, right in zip(self.runs[arm], self.right(arm, self.main), strict=True):
            sure = (from_digits(run["percent_sure"]) + 0.5) / 100
            if refitted:
                odd = np.arange(len(sure)) % 2 == 1
                powers = [best_power(sure[half], right[half]) for half in (odd, ~odd)]
                sure = np.where(odd, sure ** powers[1], sure ** powers[0])
            error = expected_calibration_error(sure.tolist(), right.tolist())
            errors.append(100 * error)
        return errors

    def at_seconds(self, arm: str) -> list[float]:
        """Return each seed's accuracy on the curve when the first arm's run of that seed ends."""
        values = []
        for run, first in zip(self.runs[arm], self.runs[self.arms[0]], strict=True):
            seconds = [point["seconds"] for point in run["curve"]]
            accuracy = [point["accuracy"] for point in run["curve"]]
            values.append(float(np.interp(first["seconds"], seconds, accuracy)))
        return values


def best_power(sure: np.ndarray[Any, Any], right: Verdicts) -> float:
    """Return the power of confidences under which verdicts are likeliest."""

    def calibration_error(power: float) -> float:
        likely = np.clip(sure**power, 1e-4, 1 - 1e-4)
        return -float(np.log(np.where(right, likely, 1 - likely)).sum())

    return min(np.linspace(0.1, 2, 96), key=calibration_error)
