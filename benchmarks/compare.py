#!/usr/bin/env python3
"""Compare readers of words: what they read right, and how long a word takes, in one run.

python benchmarks/compare.py data/val/IC15 --peer rapidocr=/path/to/python --plot compare.png

WORDS: sets of words, as test.py takes them. --peer: another reader and the Python that it is
    installed in: rapidocr, onnxtr, easyocr, reference, reference-tiny (the package of PARSeq's
    authors). strhub's own readers always take part; --ours chooses among them, and among PARSeqs
    with fresh weights: parseq, "parseq, bfloat16", "parseq, bfloat16, compiled", "parseq, int8",
    "parseq, encoder" for the encoder alone, and parseq-tiny. These read --letters letters in any
    image, as does the reference if --letters is set, so only their times mean anything. A reader
    that fails is reported with the reason, and the others continue.

In each round, every reader reads the same words in a new process, on the same processors, in an
order that rotates from round to round: first one word at a time, then all of them in batches.
Prints medians over the rounds and, for the ratios to the first reader within a round, median,
minimum and maximum. Quote ratios, since milliseconds depend on the machine. Progress is kept in
--state, and the next call resumes from there. --update writes the milliseconds into
docs/results.json, for readers that have one of these names as `measured`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from peers import FRESH, OURS, READERS

from strhub.data.sources.word_sets import open_set
from strhub.evaluation.results.intervals import wilson
from strhub.text import CHARSET_36
from strhub.utils.files import replacing

ROOT = Path(__file__).resolve().parent.parent
KINDS: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "alone": lambda found: 1000 * statistics.median(found["alone"]),
    "batches": lambda found: 1000 * found["batches"] / len(found["alone"]),
}
Rounds = list[dict[str, dict[str, Any]]]  # per round, what was measured by each reader's name


def words_of(paths: Sequence[Path], most: int) -> list[tuple[Any, str]]:
    """Return images and labels of the sets, evenly chosen, at most so many."""
    labels = [word.label for path in paths for word in open_set(path)]
    step = max(1.0, len(labels) / most)
    chosen = {int(index * step) for index in range(min(most, len(labels)))}
    words = (word for path in paths for word in open_set(path))
    return [(word.load(), word.label) for index, word in enumerate(words) if index in chosen]


def run_reader(python: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a fresh process measures, or why it failed as `failed`."""
    script = str(ROOT / "benchmarks" / "peers.py")
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)
    if asked["name"] in (*OURS, *FRESH):
        environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [python, script], input=json.dumps(asked), capture_output=True, text=True, env=environment
    )
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no reason given"])[-1][:300]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def failed_in(rounds: Rounds) -> dict[str, str]:
    """Return the readers that failed, each with its reason."""
    return {
        name: found["failed"] for one in rounds for name, found in one.items() if "failed" in found
    }


def rounds_of(
    pythons: Mapping[str, str],
    asked: Mapping[str, Any],
    rounds: Rounds,
    wanted: int,
    *,
    until: float,
) -> Iterator[Rounds]:
    """Measure what the rounds lack and yield them after each reader, until a time of
    `time.monotonic`.
    """
    failed = failed_in(rounds)
    for number in range(wanted):
        if number == len(rounds):
            rounds.append({})
        names = list(pythons)
        turned = names[number % len(names) :] + names[: number % len(names)]
        for name in turned:
            if name in rounds[number] or name in failed:
                continue
            if time.monotonic() > until:
                return
            rounds[number][name] = run_reader(pythons[name], {**asked, "name": name})
            if "failed" in rounds[number][name]:
                failed[name] = rounds[number][name]["failed"]
            yield rounds


def summary(rounds: Rounds, names: Sequence[str], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row a reader: words read right, and milliseconds and ratios by `KINDS`.

    Only rounds count in which all readers were measured that did not fail.
    """
    failed = failed_in(rounds)
    names = [name for name in names if name not in failed]
    whole = [one for one in rounds if all(name in one for name in names)]
    rows = []
    for name in names if whole else ():
        texts = whole[0][name]["texts"]
        right = sum(map(_same, texts, labels))
        row: dict[str, Any] = {
            "name": name,
            "right": right,
            "words": len(labels),
            "rounds": len(whole),
        }
        row["memory"] = statistics.median(one[name]["memory"] for one in whole)
        for kind, value in KINDS.items():
            times = [value(one[name]) for one in whole]
            ratios = [value(one[name]) / value(one[names[0]]) for one in whole]
            row[kind] = {
                "ms": statistics.median(times),
                "ratio": statistics.median(ratios),
                "least": min(ratios),
                "most": max(ratios),
            }
        rows.append(row)
    return rows


def _same(text: str, label: str) -> bool:
    """Return whether a text is the label by letters and digits of any case."""
    left, right = ("".join(c for c in some.lower() if c in CHARSET_36) for some in (text, label))
    return left == right != ""


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| reader | right | ms alone | ratio | ms in batches | ratio | MiB |"
    yield "| --- | --- | --: | --- | --: | --- | --: |"
    for row in rows:
        rate, low, high = (100 * value for value in wilson(row["right"], row["words"]))
        cells = [row["name"], f"{rate:.1f} [{low:.1f}, {high:.1f}]"]
        for kind in KINDS:
            one = row[kind]
            spread = f"{one['ratio']:.2f} ({one['least']:.2f} to {one['most']:.2f})"
            cells += [f"{one['ms']:.1f}", spread]
        yield "| " + " | ".join([*cells, f"{row['memory']:.0f}"]) + " |"


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw accuracy, with its interval, against milliseconds of a word alone and in batches."""
    from matplotlib.figure import Figure

    from strhub.utils.log_axis import log_x_axis

    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), KINDS, strict=True):
        for row in rows:
            rate, low, high = (100 * value for value in wilson(row["right"], row["words"]))
            bars = [[rate - low], [high - rate]]
            axes.errorbar(row[kind]["ms"], rate, yerr=bars, fmt="o", capsize=3, label=row["name"])
        log_x_axis(axes, [row[kind]["ms"] for row in rows])
        axes.set_xlabel(f"ms a word, {'one at a time' if kind == 'alone' else 'in batches'}")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("words read right (%)")
    figure.axes[0].legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def update(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write milliseconds into the readers of docs/results.json that name these as `measured`."""
    figures = json.loads(path.read_text("utf-8"))
    by_name = {row["name"]: row for row in rows}
    for reader in figures["readers"]:
        if row := by_name.get(reader.get("measured", "")):
            reader["alone_ms"] = round(row["alone"]["ms"], 1)
            reader["batch_ms"] = round(row["batches"]["ms"], 1)
    with replacing(path) as partial:
        partial.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", "utf-8")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; a wrong one ends the program with a line that says so."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ours = (*OURS, *FRESH)
    parser.add_argument("words", type=Path, nargs="+")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--ours", nargs="*", default=OURS, metavar="READER", choices=ours)
    parser.add_argument(
        "--letters",
        type=int,
        help="letters read by fresh weights of PARSeq, and the reference",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--count", type=int, default=150, help="number of words, evenly spaced over the sets"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument(
        "--minutes", type=float, default=10, help="start no reader after this many minutes"
    )
    parser.add_argument("--state", type=Path, help="file that keeps the progress, to resume from")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--update", type=Path, nargs="?", const=ROOT / "docs" / "results.json")
    args = parser.parse_args(arguments)
    for peer in args.peer:
        name, _, python = peer.partition("=")
        if name not in READERS or name in ours or not python:
            known = ", ".join(name for name in READERS if name not in ours)
            parser.error(f"--peer {peer}: give NAME=PYTHON, with a name of {known}")
    if args.letters is not None and not 1 <= args.letters <= 25:
        parser.error(f"--letters is {args.letters}: it must be from 1 to 25")
    for name in ("rounds", "count", "threads", "batch_size"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} is {getattr(args, name)}: it must be at least 1")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is not in the state yet, for so many minutes, and report."""
    args = parse(arguments)
    pythons = dict.fromkeys(args.ours, sys.executable)
    pythons.update(peer.split("=", 1) for peer in args.peer)
    words = words_of(args.words, args.count)
    labels = [label for _, label in words]
    settings = {"threads": args.threads, "batch_size": args.batch_size}
    if args.letters is not None:
        settings["letters"] = args.letters
    rounds: Rounds = []
    if args.state and args.state.exists():
        known = json.loads(args.state.read_text("utf-8"))
        if known["labels"] != labels or known["settings"] != settings:
            sys.exit(f"{args.state} is of other words or settings: name another file")
        rounds = known["rounds"]
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f"{index}.png") for index in range(len(words))]
        for path, (image, _) in zip(paths, words, strict=True):
            image.convert("RGB").save(path)
        until = time.monotonic() + 60 * args.minutes
        asked = {**settings, "paths": paths}
        for done in rounds_of(pythons, asked, rounds, args.rounds, until=until):
            if args.state:
                state = {"labels": labels, "settings": settings, "rounds": done}
                with replacing(args.state) as partial:
                    partial.write_text(json.dumps(state), "utf-8")
    rows = summary(rounds, list(pythons), labels)
    report(rows, rounds)
    if rows and args.plot:
        draw(rows, args.plot)
    if rows and args.update:
        update(args.update, rows)


def report(rows: Sequence[Mapping[str, Any]], rounds: Rounds) -> None:
    """Print the table, and who failed and why."""
    if rows:
        print(f"{rows[0]['words']} words, medians of {rows[0]['rounds']} rounds\n")
    print("\n".join(table(rows)) if rows else "no round is done yet: call again")
    for name, why in failed_in(rounds).items():
        print(f"\n{name} is left out: {why}")


if __name__ == "__main__":
    main()
