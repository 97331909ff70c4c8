#!/usr/bin/env python3
"""Make tables and plots of the contrastive ablation from its raw results.

python benchmarks/clip_ablation_results.py outputs/clip_ablation --collect docs/clip-ablation.json
python benchmarks/clip_ablation_results.py docs/clip-ablation.json --figures docs/figures

The first command writes the file that the second one reads: for every run, whether each test word
was read right, the confidences, the learning curve, seed, steps, processor time and hashes of
encoder and images, but no words. Differences are relative to the first arm with the same seed;
their intervals come from a bootstrap over seeds and words, and their p-values from McNemar's test
on the words that most seeds read right, corrected for the number of arms (Holm).
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from ablation import STUDENT, results_of, spread

from strhub.evaluation.calibration import expected_calibration_error
from strhub.evaluation.comparing import holm
from strhub.evaluation.results.intervals import exact_mcnemar
from strhub.utils.files import write_whole

RESAMPLES = 2000
COLORS = ("#555555", "#1b7f8c", "#c1552d", "#6a4fa3", "#8a8a00")
KNOWN, UNKNOWN = "in the training words", "not in them"
Verdicts = np.ndarray[Any, np.dtype[np.bool_]]


def collected(folder: Path) -> dict[str, Any]:
    """Return a study's raw results, small enough to be kept, without its words."""
    words = json.loads((folder / "words.json").read_text("utf-8"))
    runs = []
    for result in results_of(folder):
        sure = [min(99, one // 10) for one in result.pop("per_mille_sure")]
        runs.append({**result, "percent_sure": "".join(f"{one:02d}" for one in sure)})
    known = {
        kind: np.packbits(np.asarray(found["known"], np.uint8)).tobytes().hex()
        for kind, found in words.items()
    }
    counts = {kind: len(found["labels"]) for kind, found in words.items()}
    starts = sorted(folder.glob("start-*.json"))
    start = json.loads(starts[0].read_text("utf-8")) if starts else {}
    start.pop("per_mille_sure", None)
    return {"words": counts, "known": known, "start": start, "runs": runs}


def unpacked(digits: str, count: int) -> Verdicts:
    """Return verdicts, of hexadecimal digits."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8))[:count].astype(bool)


class Study:
    """Raw results by arm: only seeds that every arm has count, and only arms of several seeds, if
    there are any.
    """

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.counts, self.known, self.start = raw["words"], raw["known"], raw.get("start") or {}
        self.main = "val" if "val" in self.counts else next(iter(self.counts))
        arms = list(dict.fromkeys(run["arm"] for run in raw["runs"]))
        by = {(run["arm"], run["seed"]): run for run in raw["runs"]}
        runs = {arm: sum(run["arm"] == arm for run in raw["runs"]) for arm in arms}
        arms = [arm for arm in arms if runs[arm] > 1 or max(runs.values()) == 1]
        seeds = sorted({run["seed"] for run in raw["runs"]})
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
        return parts | {kind: (kind, None) for kind in self.counts if kind != self.main}

    def calibration(self, arm: str, *, refitted: bool = False) -> list[float]:
        """Return the expected calibration error of each seed, in percent.

        refitted: of confidences to a power that is fitted to the other half of the words.
        """
        errors = []
        for run, right in zip(self.runs[arm], self.right(arm, self.main), strict=True):
            digits = run["percent_sure"]
            sure = np.array([int(digits[at : at + 2]) for at in range(0, len(digits), 2)])
            sure = (sure + 0.5) / 100
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


def difference(first: Verdicts, other: Verdicts) -> tuple[float, float, float, float]:
    """Return by how many points the other reads more, the 95 % interval over seeds and words, and
    how likely such a difference is by chance. Both: (seeds, words).
    """
    gained = other.astype(float) - first.astype(float)
    rng = np.random.default_rng(0)
    seeds, words = gained.shape
    resampled = [
        gained[rng.integers(seeds, size=seeds)].mean(0)[rng.integers(words, size=words)].mean()
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(resampled, [0.025, 0.975])
    before, after = first.mean(0) > 0.5, other.mean(0) > 0.5
    chance = exact_mcnemar(int((before & ~after).sum()), int((after & ~before).sum()))
    return 100 * gained.mean(), 100 * float(low), 100 * float(high), chance


def accuracy_table(study: Study) -> str:
    """Return the accuracy of each arm by part, and differences from the first."""
    first, *others = study.arms
    lines = [
        f"| | words | before | {first} | " + " | ".join(others) + " |",
        "| --- | --- | --- | --- |" + " --- |" * len(others),
    ]
    for part, (kind, chosen) in study.parts().items():
        base = study.right(first, kind, chosen)
        found = [difference(base, study.right(arm, kind, chosen)) for arm in others]
        corrected = holm([one[3] for one in found])
        cells = [
            f"{gain:+.2f} [{low:+.2f}, {high:+.2f}], p = {chance:.2f}"
            for (gain, low, high, _), chance in zip(found, corrected, strict=True)
        ]
        values = spread([100 * row.mean() for row in base])
        before = "–"
        if study.start:
            right = unpacked(study.start["right"][kind], study.counts[kind])
            before = f"{100 * (right if chosen is None else right[chosen]).mean():.1f}"
        cells = [part, str(base.shape[1]), before, values, *cells]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def paired(values: Sequence[float], first: Sequence[float], digits: int = 2) -> str:
    """Return the mean difference with its 95 % interval over seeds (Student's t)."""
    differences = [one - other for one, other in zip(values, first, strict=True)]
    if len(differences) < 2:
        return f"{mean(differences):+.{digits}f}"
    half = STUDENT[len(differences) - 1] * stdev(differences) / len(differences) ** 0.5
    return f"{mean(differences):+.{digits}f} ± {half:.{digits}f}"


def other_table(study: Study) -> str:
    """Return calibration, retrieval, accuracy at equal time, and time, by arm."""
    first = study.arms[0]
    lines = [
        "| arm | calibration error, % | less the first | refitted, % | own word found by a linear "
        "probe, % | less the first | by its projection, % | right at equal time, % | "
        "less the first | CPU s |",
        "| --- |" + " --- |" * 9,
    ]
    for arm in study.arms:
        error, base = study.calibration(arm), study.calibration(first)
        probe = [[run["found by probe"] for run in study.runs[one]] for one in (arm, first)]
        found = [run.get("found by projection") for run in study.runs[arm]]
        timed, timed_first = study.at_seconds(arm), study.at_seconds(first)
        less = [paired(error, base), paired(*probe), paired(timed, timed_first)]
        if arm == first:
            less = [""] * 3
        cells = [
            arm,
            spread(error),
            less[0],
            spread(study.calibration(arm, refitted=True)),
            spread(probe[0]),
            less[1],
            spread(found) if None not in found else "–",
            spread(timed),
            less[2],
            spread([run["seconds"] for run in study.runs[arm]], 0),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(study: Study, folder: Path) -> None:
    """Draw differences by part, and learning curves."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams["svg.hashsalt"] = "strhub"
    first, *others = study.arms
    parts = study.parts()
    figure = Figure(figsize=(7.5, 0.45 * len(parts) + 1.3), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="#999999", linewidth=1)
    for number, (arm, color) in enumerate(zip(others, COLORS[1:], strict=False)):
        for row, (kind, chosen) in enumerate(parts.values()):
            base, other = (study.right(one, kind, chosen) for one in (first, arm))
            gain, low, high, _ = difference(base, other)
            height = row + 0.22 * (number - (len(others) - 1) / 2)
            axes.plot([low, high], [height, height], color=color, linewidth=2)
            axes.plot(gain, height, "o", color=color, label=arm if row == 0 else None)
    axes.set_yticks(range(len(parts)), list(parts))
    axes.invert_yaxis()
    axes.set_xlabel(f"points more words read right than with {first}, 95 % interval")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(folder / "clip-ablation.svg", metadata={"Date": None})
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for arm, color in zip(study.arms, COLORS, strict=False):
        curves = [run["curve"] for run in study.runs[arm]]
        seconds = [
            mean(point["seconds"] for point in points) for points in zip(*curves, strict=True)
        ]
        values = [
            mean(point["accuracy"] for point in points) for points in zip(*curves, strict=True)
        ]
        axes.plot(seconds, values, "o-", color=color, label=arm, markersize=4)
    axes.set_xlabel("processor seconds of training")
    axes.set_ylabel("words read right, %")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(folder / "clip-ablation-curves.svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder of a study, or file with raw results")
    parser.add_argument("--collect", type=Path, help="write the raw results to this file")
    parser.add_argument("--figures", type=Path, help="folder to write plots to")
    args = parser.parse_args()
    if args.source.is_dir():
        raw = collected(args.source)
    else:
        raw = json.loads(args.source.read_text("utf-8"))
    if args.collect:
        lines = ",\n".join(json.dumps(run) for run in raw["runs"])
        head = json.dumps({name: value for name, value in raw.items() if name != "runs"})[1:-1]
        write_whole(args.collect, f'{{{head},\n"runs": [\n{lines}\n]}}\n')
    study = Study(raw)
    print(f"seeds {study.seeds}\n\n{accuracy_table(study)}\n\n{other_table(study)}")
    if args.figures:
        args.figures.mkdir(parents=True, exist_ok=True)
        draw(study, args.figures)


if __name__ == "__main__":
    main()
