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
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from ablation import STUDENT, results_of, spread
from clip_ablation_study import Study, Verdicts, as_digits, best_power, unpacked

from strhub.evaluation.comparing import holm
from strhub.evaluation.results.intervals import exact_mcnemar
from strhub.utils.files import write_whole

__all__ = ["Study", "best_power", "difference"]

RESAMPLES = 2000
COLORS = (
    "#555555", "#1b7f8c", "#c1552d", "#6a4fa3", "#8a8a00", "#b03060", "#2f6fb5", "#4a7a2a",
)  # fmt: skip
TITLES = {
    "val": "scene words",
    "blur 2.0": "blurred, 2 pixels of 48",
    "blur 3.5": "blurred, 3.5 pixels",
    "bar 0.06": "a bar over 6 % of the width",
    "bar 0.12": "a bar over 12 %",
}


def collected(folder: Path) -> dict[str, Any]:
    """Return a study's raw results, small enough to be kept, without its words."""
    words = json.loads((folder / "words.json").read_text("utf-8"))
    runs = []
    for result in results_of(folder):
        sure = as_digits(result.pop("per_mille_sure"))
        runs.append({**result, "percent_sure": sure})
    known = {
        kind: np.packbits(np.asarray(found["known"], np.uint8)).tobytes().hex()
        for kind, found in words.items()
    }
    counts = {kind: len(found["labels"]) for kind, found in words.items()}
    starts = sorted(folder.glob("start-*.json"))
    start = json.loads(starts[0].read_text("utf-8")) if starts else {}
    if "per_mille_sure" in start:
        start["percent_sure"] = as_digits(start.pop("per_mille_sure"))
    return {"words": counts, "known": known, "start": start, "runs": runs}


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


def probability(chance: float) -> str:
    """Return a probability as it is written behind its letter."""
    return "< 0.01" if chance < 0.005 else f"= {chance:.2f}"


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
            f"{gain:+.2f} [{low:+.2f}, {high:+.2f}], p {probability(chance)}"
            for (gain, low, high, _), chance in zip(found, corrected, strict=True)
        ]
        values = spread([100 * row.mean() for row in base])
        before = "–"
        if study.start:
            right = unpacked(study.start["right"][kind], study.counts[kind])
            before = f"{100 * (right if chosen is None else right[chosen]).mean():.1f}"
        cells = [TITLES.get(part, part), str(base.shape[1]), before, values, *cells]
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


def plateau(study: Study) -> str:
    """Return what runs of more steps read more than those of the same arm and seed."""
    lines = []
    for arm, steps in dict.fromkeys((run["arm"], run["steps"]) for run in study.longer):
        longer = {
            run["seed"]: run for run in study.longer if (run["arm"], run["steps"]) == (arm, steps)
        }
        seeds = [seed for seed in study.seeds if seed in longer]
        short = [study.runs[arm][study.seeds.index(seed)] for seed in seeds]
        for kind in (study.main, "rendered"):
            values = [longer[seed]["accuracy"][kind] for seed in seeds]
            before = [run["accuracy"][kind] for run in short]
            lines.append(
                f"{arm}, {steps} steps, {len(seeds)} seeds, {kind}: {spread(values)}, "
                f"{paired(values, before)} more than with {short[0]['steps']}"
            )
    return "\n".join(lines)


def draw(study: Study, folder: Path, name: str) -> None:
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
    axes.set_yticks(range(len(parts)), [TITLES.get(part, part) for part in parts])
    axes.invert_yaxis()
    axes.set_xlabel(f"points more words read right than with {first}, 95 % interval")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
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
    figure.savefig(folder / f"{name}-curves.svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder of a study, or file with raw results")
    parser.add_argument("--collect", type=Path, help="write the raw results to this file")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="compare only these arms")
    parser.add_argument("--figures", type=Path, help="folder to write plots to")
    parser.add_argument("--name", default="clip-ablation", help="what names of plots begin with")
    args = parser.parse_args()
    if args.source.is_dir():
        raw = collected(args.source)
    else:
        raw = json.loads(args.source.read_text("utf-8"))
    if args.collect:
        lines = ",\n".join(json.dumps(run) for run in raw["runs"])
        head = json.dumps({name: value for name, value in raw.items() if name != "runs"})[1:-1]
        write_whole(args.collect, f'{{{head},\n"runs": [\n{lines}\n]}}\n')
    study = Study(raw, args.arms)
    parts = (accuracy_table(study), other_table(study), plateau(study))
    print("\n\n".join((f"seeds {study.seeds}", *parts)))
    if args.figures:
        args.figures.mkdir(parents=True, exist_ok=True)
        draw(study, args.figures, args.name)


if __name__ == "__main__":
    main()
