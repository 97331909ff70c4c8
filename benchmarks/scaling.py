#!/usr/bin/env python3
"""Measure how rendering and reading of LMDBs and shards scale with processes, and a Recognizer with
threads.

python benchmarks/scaling.py --json scaling.json --plot scaling.png

A number of processes render words, decode words from one LMDB file, or from tar shards, all at the
same time; a number of threads share one Recognizer and read one word at a time. The numbers of
workers take turns, round after round. Prints medians: words per second, how many processors were
busy, milliseconds of processor time per word, and the memory that a process shares with no other.
Words per second stop growing when as many processors are busy as there are; if the milliseconds per
word grow before that, the workers compete for something: a cache, the processors' clock, a lock.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from strhub.data.synth import RenderedWords
from strhub.text import CHARSET_36
from strhub.utils.files import replacing

SHARDS = 8
WARM_UP = 10  # words that are not counted: fonts and files are opened
Figures = dict[str, float]
Read = Callable[[int, float], int]  # from how many threads and until when to words read


def rendered_words(seed: int) -> RenderedWords:
    """Return words of all fonts, a little hard to read."""
    return RenderedWords(charset=CHARSET_36, max_length=12, seed=seed, difficulty=0.3)


def write_data(folder: Path, count: int) -> None:
    """Write rendered words as one LMDB, as shards, and as images."""
    from strhub.data.sources.lmdb import write_lmdb

    words = [rendered_words(0).render(index) for index in range(count)]
    write_lmdb(folder / "lmdb", iter(words))
    (folder / "images").mkdir()
    for number in range(SHARDS):
        with tarfile.open(folder / f"words-{number}.tar", "w") as shard:
            for index in range(number, count, SHARDS):
                image, label = words[index]
                path = folder / "images" / f"{index}.jpg"
                image.save(path)
                for suffix, data in (("jpg", path.read_bytes()), ("txt", label.encode())):
                    member = tarfile.TarInfo(f"{index:06}.{suffix}")
                    member.size = len(data)
                    shard.addfile(member, io.BytesIO(data))


def render(folder: Path, number: int) -> Iterator[object]:
    words = rendered_words(number + 1)
    return (words.render(index) for index in itertools.count())


def read_lmdb(folder: Path, number: int) -> Iterator[object]:
    from strhub.data.sources.lmdb import LmdbWords

    words = LmdbWords(folder / "lmdb")
    return (words.read(index % len(words)) for index in itertools.count(number * 997))


def read_shards(folder: Path, number: int) -> Iterator[object]:
    from strhub.data.sources.shards import ShardedWords

    words = ShardedWords(
        str(folder / "*.tar"),
        transform=lambda image, rng: image,
        batch_size=1,
        buffer=64,
        rank=number % SHARDS,
        devices=SHARDS,
    )
    return itertools.chain.from_iterable(words for _ in itertools.count())


SOURCES = {"rendering": render, "LMDB": read_lmdb, "shards": read_shards}
RECOGNIZER = "Recognizer"


def recognizer_reader(folder: Path, model: str) -> Read:
    """Return what reads words one at a time from several threads."""
    from strhub import Recognizer

    recognizer = Recognizer(model)
    paths = sorted(map(str, (folder / "images").iterdir()))
    recognizer([paths[0]])

    def work(begin: int, until: float, counts: list[int]) -> None:
        while time.perf_counter() < until:
            recognizer([paths[(begin + counts[begin]) % len(paths)]])
            counts[begin] += 1

    def read(workers: int, until: float) -> int:
        counts = [0] * workers
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda begin: work(begin, until, counts), range(workers)))
        return sum(counts)

    return read


def source_reader(stream: Iterator[object]) -> Read:
    """Return what takes words from a source, in one thread."""
    for _ in range(WARM_UP):
        next(stream)

    def read(workers: int, until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            next(stream)
            count += 1
        return count

    return read


def own_memory() -> float:
    """Return the MiB that this process shares with no other; if the system does not tell, the
    most that it ever held.
    """
    path = Path("/proc/self/smaps_rollup")
    if path.exists():
        lines = (line.split() for line in path.read_text().splitlines())
        return sum(int(line[1]) for line in lines if line[0].startswith("Private_")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def serve(name: str, folder: Path, number: int, model: str) -> None:
    """Measure whenever a line [threads, seconds] comes in, until there is none."""
    alone = name == RECOGNIZER
    read = (
        recognizer_reader(folder, model) if alone else source_reader(SOURCES[name](folder, number))
    )
    print("ready", flush=True)
    for line in sys.stdin:
        workers, seconds = json.loads(line)
        begin, cpu = time.perf_counter(), time.process_time()
        count = read(workers, begin + seconds)
        wall = time.perf_counter() - begin
        found = {"words": count, "wall": wall, "cpu": time.process_time() - cpu}
        print(json.dumps({**found, "memory": own_memory()}), flush=True)


@contextmanager
def processes(name: str, folder: Path, count: int, model: str) -> Iterator[list[Any]]:
    """Start so many that are ready to measure, and end them."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    if name != RECOGNIZER:
        environment["OMP_NUM_THREADS"] = "1"
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        started: list[Any] = []
        for number in range(count):
            command = [sys.executable, __file__, "--serve", name, str(folder), str(number), model]
            opened = subprocess.Popen(command, env=environment, **pipe)  # type: ignore[call-overload]
            started.append(stack.enter_context(opened))  # which ends where its input does
        for process in started:
            if process.stdout.readline().strip() != "ready":
                sys.exit(f"{name}: a process ended before it could read")
        yield started


def measured(started: Sequence[Any], threads: int, seconds: float) -> Figures:
    """Have these processes work at the same time."""
    for process in started:
        process.stdin.write(json.dumps([threads, seconds]) + "\n")
        process.stdin.flush()
    answers = [json.loads(process.stdout.readline()) for process in started]
    words = max(1, sum(one["words"] for one in answers))
    return {
        "words_a_second": sum(one["words"] / one["wall"] for one in answers),
        "processors": sum(one["cpu"] / one["wall"] for one in answers),
        "cpu_ms": 1000 * sum(one["cpu"] for one in answers) / words,
        "memory": statistics.mean(one["memory"] for one in answers),
    }


def summary(name: str, rounds: Sequence[Mapping[int, Figures]]) -> list[dict[str, Any]]:
    """Return a row for each number of workers: medians over rounds, and how many times the words of
    the least number.
    """
    rows = []
    for workers in rounds[0]:
        figures = [one[workers] for one in rounds]
        row: dict[str, Any] = {"name": name, "workers": workers}
        row |= {key: statistics.median(one[key] for one in figures) for key in figures[0]}
        first = next(iter(rounds[0]))
        row["times"] = statistics.median(
            one[workers]["words_a_second"] / max(1e-9, one[first]["words_a_second"])
            for one in rounds
        )
        rows.append(row)
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| | workers | words/s | times | processors busy | processor ms a word | MiB each |"
    yield "| --- | --: | --: | --: | --: | --: | --: |"
    for row in rows:
        cells = [row["name"], str(row["workers"]), f"{row['words_a_second']:.0f}"]
        cells += [f"{row['times']:.2f}", f"{row['processors']:.2f}", f"{row['cpu_ms']:.2f}"]
        yield "| " + " | ".join([*cells, f"{row['memory']:.0f}"]) + " |"


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw how many times one worker's words so many read, and processor time a word."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = [row for row in rows if row["name"] == name]
        unit = "threads" if name == RECOGNIZER else "processes"
        workers = [row["workers"] for row in mine]
        axes[0].plot(workers, [row["times"] for row in mine], "o-", label=f"{name}, {unit}")
        relative = [row["cpu_ms"] / max(1e-9, mine[0]["cpu_ms"]) for row in mine]
        axes[1].plot(workers, relative, "o-", label=name)
    ticks = sorted({row["workers"] for row in rows})
    for axis, label in zip(axes, ("words a second", "processor time a word"), strict=True):
        axis.set_xscale("log", base=2)
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.set(xlabel="workers", ylabel=f"{label}, times one worker's", ylim=(0, None))
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; a wrong one ends the program with a line that says so."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument(
        "--model", default="strhub-small", help="id or path of the Recognizer's model"
    )
    parser.add_argument(
        "--words", type=int, default=1000, help="number of words in the LMDB and in the shards"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds per measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if min(*args.workers, *args.threads, args.rounds) < 1 or args.words < SHARDS:
        parser.error(f"workers, threads and rounds must be at least 1, words at least {SHARDS}")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all of it and report."""
    args = parse(arguments)
    if args.serve:
        name, folder, number, model = args.serve
        serve(name, Path(folder), int(number), model)
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_data(folder, args.words)
        for name in (*SOURCES, RECOGNIZER):
            alone = name == RECOGNIZER
            counts = sorted(set(args.threads if alone else args.workers))
            with processes(name, folder, 1 if alone else max(counts), args.model) as started:
                sets = {
                    count: (started, count) if alone else (started[:count], 1) for count in counts
                }
                rounds = [
                    {
                        n: measured(which, threads, args.seconds)
                        for n, (which, threads) in sets.items()
                    }
                    for _ in range(args.rounds)
                ]
            rows += summary(name, rounds)
    print("\n".join(table(rows)))
    if args.json:
        with replacing(args.json) as partial:
            found = {"processors": os.cpu_count(), "model": args.model, "rows": rows}
            partial.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    if args.plot:
        draw(rows, args.plot)


if __name__ == "__main__":
    main()
