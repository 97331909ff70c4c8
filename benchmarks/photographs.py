#!/usr/bin/env python3
"""Measure how many words of whole photographs are found and read right, and how long that takes,
against other packages.

python benchmarks/photographs.py PHOTOS --peer rapidocr=/path/to/python --state photographs.json
--minutes 8

PHOTOS: a folder of images and `words.jsonl`, with a line per image: {"image": name, "words":
    [{"quad": ..., "text": ...}]}.
--peer: another package and the Python that it is installed in (rapidocr is known); may be repeated.
--chosen: every N-th photograph was used to choose thresholds, and is reported separately. 0: none
    was.

Every system reads a few photographs at a time in a new process, in turn, on the same processors.
Progress is kept in --state, and the next call resumes from there. Prints end-to-end H-means (ICDAR
2015: IoU over 0.5, letters and digits, case ignored), also at each system's best confidence
threshold; the median of milliseconds per photograph and of the ratios to the first peer; and what
the command line takes for one photograph: seconds and MiB. `strhub` reads one photograph after the
other, `strhub, stream` several side by side.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OURS = ("strhub", "strhub, stream")
Found = list[tuple[list[list[float]], str, float]]  # corners, text, confidence of each word


def read_ours(paths: Sequence[str], *, stream: bool, threads: int) -> Iterator[tuple[float, Found]]:
    """Yield seconds and words of each photograph."""
    from strhub import Spotter

    spotter = Spotter(threads=threads)
    list(spotter.read(paths[:1] * 2) if stream else [spotter(paths[0])])  # warm
    pages = spotter.read(paths) if stream else map(spotter, paths)
    began = time.perf_counter()
    timed = []
    for page in pages:
        timed.append(
            (
                time.perf_counter() - began,
                [
                    (page_word.quad, page_word.text, page_word.confidence)
                    for page_word in page.words
                ],
            )
        )
        began = time.perf_counter()
    mean = sum(seconds for seconds, _ in timed) / len(timed)
    for seconds, words in timed:
        yield (mean if stream else seconds), words


def read_rapidocr(paths: Sequence[str], threads: int) -> Iterator[tuple[float, Found]]:
    """Read the same with rapidocr and its own word boxes."""
    import logging

    from rapidocr import RapidOCR

    logging.disable(logging.CRITICAL)
    engine = RapidOCR(params={"EngineConfig.onnxruntime.intra_op_num_threads": threads})
    engine(paths[0], return_word_box=True)
    for path in paths:
        began = time.perf_counter()
        result = engine(path, return_word_box=True)
        seconds = time.perf_counter() - began
        words: Found = []
        pending: list[Any] = [result.word_results or ()]
        while pending:  # nested by line, in one of several ways
            some = pending.pop()
            if isinstance(some, tuple) and len(some) == 3 and isinstance(some[0], str):
                if some[2] is not None and len(some[2]):
                    words.append(
                        ([[float(x), float(y)] for x, y in some[2]], some[0], float(some[1]))
                    )
            elif isinstance(some, list | tuple):
                pending.extend(some)
        yield seconds, words


def work(system: str, threads: int) -> None:
    """Read the photographs named on standard input and print a line of JSON for each."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    paths = json.load(sys.stdin)
    read = read_rapidocr(paths, threads) if system == "rapidocr" else None
    for path, (seconds, words) in zip(
        paths, read or read_ours(paths, stream=system != "strhub", threads=threads), strict=True
    ):
        print(json.dumps({"path": path, "seconds": seconds, "words": words}), flush=True)


def measure(python: str, system: str, paths: Sequence[str], threads: int) -> dict[str, Any]:
    """Return seconds and words by the photographs' names, as a fresh process gave them."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} if system in OURS else dict(os.environ)
    done = subprocess.run(
        [python, __file__, "--worker", system, "--threads", str(threads)],
        input=json.dumps(list(paths)),
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        raise SystemExit(f"{system} failed:\n{done.stderr[-2000:]}")
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {
        Path(row["path"]).name: {"seconds": row["seconds"], "words": row["words"]} for row in rows
    }


def cold(path: str, threads: int) -> tuple[float, float]:
    """Return seconds and MiB of the command line that reads one photograph."""
    command = [sys.executable, str(ROOT / "read.py"), "--photo", path, "--threads", str(threads)]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: status {process.returncode}")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def score(rows: Sequence[dict[str, Any]], found: dict[str, Any], least: float = 0.0) -> Any:
    """Return the counts of all photographs; least: confidence of words that count."""
    from strhub.evaluation.spotting import SpottingScore, score_image

    total = SpottingScore()
    for row in rows:
        true = [(word["quad"], word["text"]) for word in row["words"]]
        words = [(quad, text) for quad, text, sure in found[row["image"]]["words"] if sure >= least]
        total = total + score_image(true, words)
    return total


def report(
    parts: dict[str, list[dict[str, Any]]], state: dict[str, Any], systems: Sequence[str]
) -> None:
    """Print the tables of what was measured of all systems."""
    base = systems[len(OURS)] if len(systems) > len(OURS) else None
    chunks = [chunk for chunk in state["chunks"] if all(system in chunk for system in systems)]
    everything = {
        system: {k: v for chunk in chunks for k, v in chunk[system].items()} for system in systems
    }
    for name, rows in parts.items():
        rows = [row for row in rows if row["image"] in everything[systems[0]]]
        if not rows:
            continue
        print(
            f"\n{len(rows)} photographs {name}\n\n| system | found | end to end | at its best | ms "
            "| ratio |"
        )
        print("| --- | --: | --: | --: | --: | --: |")
        for system in systems:
            found = everything[system]
            counts = score(rows, found)
            best = max((score(rows, found, step / 20).end_to_end, step / 20) for step in range(20))
            times = [found[row["image"]]["seconds"] for row in rows]
            own = {row["image"] for row in rows}
            ratio = "-"
            if base:
                ratios = [
                    statistics.fmean(chunk[system][image]["seconds"] for image in chunk[system])
                    / statistics.fmean(chunk[base][image]["seconds"] for image in chunk[base])
                    for chunk in chunks
                    if own & chunk[base].keys()
                ]
                ratio = f"{statistics.median(ratios):.2f}"
            print(
                f"| {system} | {counts.detection:.3f} | {counts.end_to_end:.3f} | {best[0]:.3f} "
                f"from {best[1]:.2f} "
                f"| {1000 * statistics.median(times):.0f} | {ratio} |"
            )
    if state["cold"]:
        seconds, memory = zip(*state["cold"], strict=True)
        print(
            f"\none photograph by the command line, median of {len(seconds)}: "
            f"{statistics.median(seconds):.2f} s, "
            f"{statistics.median(memory):.0f} MiB"
        )


def main() -> None:
    """Measure what is not in the state yet, for so many minutes, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--state", type=Path, default=Path("photographs.json"))
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--chosen", type=int, default=5)
    parser.add_argument("--size", type=int, default=20, help="photographs per process")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int, help="use only the first N photographs of the folder")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args.threads)
        return
    until = time.monotonic() + 60 * args.minutes
    rows = [
        json.loads(line) for line in (args.photos / "words.jsonl").read_text("utf-8").splitlines()
    ][: args.limit]
    pythons = {
        **dict.fromkeys(OURS, sys.executable),
        **dict(peer.split("=", 1) for peer in args.peer),
    }
    chosen = [row for index, row in enumerate(rows) if args.chosen and index % args.chosen == 0]
    parts = {
        "not used for any choice": [row for row in rows if row not in chosen],
        "used for choices": chosen,
    }
    state = (
        json.loads(args.state.read_text("utf-8"))
        if args.state.exists()
        else {"chunks": [], "cold": []}
    )
    names = [row["image"] for part in parts.values() for row in part]
    for start in range(0, len(names), args.size):
        number = start // args.size
        if number == len(state["chunks"]):
            state["chunks"].append({})
        paths = [str(args.photos / name) for name in names[start : start + args.size]]
        for system, python in pythons.items():
            if system not in state["chunks"][number] and time.monotonic() < until:
                state["chunks"][number][system] = measure(python, system, paths, args.threads)
                args.state.write_text(json.dumps(state), "utf-8")
        if len(state["cold"]) <= number and time.monotonic() < until:
            state["cold"].append(cold(paths[0], args.threads))
    args.state.write_text(json.dumps(state), "utf-8")
    report(parts, state, list(pythons))


if __name__ == "__main__":
    main()
