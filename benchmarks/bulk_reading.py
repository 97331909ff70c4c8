#!/usr/bin/env python3
"""Check that bulk reading loses nothing and reads nothing twice when it is killed, and measure its
speed against plain reading and how it scales.

python benchmarks/bulk_reading.py killed --words 20000   # killed with SIGKILL twice, and resumed
python benchmarks/bulk_reading.py speed --words 4000     # Recognizer, plain and Ray, in turn
python benchmarks/bulk_reading.py speed --workers 1 --threads 1    # the same on one core
python benchmarks/bulk_reading.py scaling                # sleeping models: more workers than cores
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

from pyarrow import parquet

from strhub import Recognizer
from strhub.bulk import read_all
from strhub.bulk.inputs import Span, Unit, images
from strhub.data.sources.lmdb import write_lmdb
from strhub.data.synth import RenderedWords
from strhub.inference.reading import Reading
from strhub.text import CHARSET_36

ROOT = Path(__file__).parent.parent


class Sleepy:
    """Reads nothing, in 5 ms an image."""

    batch_size = 32

    def __call__(self, args):
        time.sleep(0.005 * len(args))
        return [Reading("", 0.0) for _ in args]


def draw(folder: Path, count: int) -> Path:
    """Render words to an LMDB, once."""
    path = folder / f"words-{count}"
    if not path.exists():
        words = RenderedWords(charset=CHARSET_36, max_length=8, seed=5, difficulty=0.0)
        print(f"drawing {count} words", flush=True)
        write_lmdb(path, (words.render(index) for index in range(count)))
    return path


def sources(output: Path) -> list[str]:
    """Return the sources of all rows."""
    return [
        name
        for path in output.glob("*.parquet")
        for name in parquet.read_table(path)["source"].to_pylist()
    ]


def killed(words: Path, output: Path, count: int, engine: str) -> None:
    """Kill the command at two random moments between its first and its last part; then let it
    end.
    """
    command = [
        sys.executable,
        "read.py",
        "--images",
        str(words),
        "--output",
        str(output),
        "--engine",
        engine,
        "--per_part",
        "500",
    ]
    rng = random.Random(3)
    stops = sorted(rng.randrange(1, count // 500) for _ in range(2))
    for stop in [*stops, None]:
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL
        )
        while (
            stop is not None
            and process.poll() is None
            and len(list(output.glob("*.parquet"))) < stop
        ):
            time.sleep(0.05)
        if stop is not None:
            time.sleep(rng.random())
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        there = sources(output)
        print(
            f"{engine}: ended with {status} after {time.monotonic() - began:.0f} s; {len(there)} "
            "rows",
            flush=True,
        )
    expected = {f"{words}#{number}" for number in range(1, count + 1)}
    print(
        f"{engine}: {len(there)} rows, {len(set(there))} of them different, "
        f"{len(expected - set(there))} missing"
    )


def rate(output: Path, per_part: int) -> float:
    """Return the words per second between the first part and the last."""
    times = sorted(path.stat().st_mtime for path in output.glob("*.parquet"))
    return per_part * (len(times) - 1) / (times[-1] - times[0])


class Timed:
    """The recognizer, that notes process, time and the processor time of all its threads whenever
    it is called.
    """

    def __init__(self, path: str, threads: int | None) -> None:
        self.path, self.reader = path, Recognizer("strhub-tiny", device="cpu", threads=threads)
        self.batch_size = self.reader.batch_size

    def __call__(self, args):
        with open(self.path, "a") as file:
            file.write(f"{os.getpid()} {time.time()} {time.process_time()} {len(args)}\n")
        return self.reader(args)


def measured(path: Path) -> tuple[float, float]:
    """Return processor milliseconds per word, from each process's fifth call to its last, and all
    processes' words per second while all of them read: decoding, reading, writing and what the
    engine takes.
    """
    calls: dict[str, list[tuple[float, float, float]]] = {}
    for line in path.read_text().splitlines():
        process, *numbers = line.split()
        calls.setdefault(process, []).append(tuple(map(float, numbers)))
    calls = {process: notes[4:] for process, notes in calls.items()}
    used = sum(notes[-1][1] - notes[0][1] for notes in calls.values())
    words = sum(count for notes in calls.values() for _, _, count in notes[:-1])
    begin, end = (
        max(notes[0][0] for notes in calls.values()),
        min(notes[-1][0] for notes in calls.values()),
    )
    meanwhile = sum(
        count for notes in calls.values() for when, _, count in notes if begin <= when < end
    )
    return 1000 * used / words, meanwhile / (end - begin)


def speed(words: Path, folder: Path, count: int, workers: int, threads: int | None) -> None:
    """Measure processor time per word and words per second, in turn, so that other work on the
    machine disturbs all alike.
    """
    found: dict[str, list[tuple[float, float]]] = {"alone": [], "plain": [], "ray": []}
    for turn in range(3):
        for engine, figures in found.items():
            output, notes = (
                folder / f"speed-{engine}-{turn}",
                (folder / f"{engine}-{turn}.txt").absolute(),
            )
            notes.unlink(missing_ok=True)
            make = partial(Timed, str(notes), 1 if engine == "ray" else threads)
            if engine == "alone":
                reader, remaining = make(), images(Unit("lmdb", str(words), Span(0, count)))
                while batch := [
                    original.image for original in islice(remaining, reader.batch_size)
                ]:
                    reader(batch)
            else:
                shutil.rmtree(output, ignore_errors=True)
                read_all(
                    [words], output, engine=engine, per_part=200, workers=workers, recognizer=make
                )
            figures.append(measured(notes))
            print(
                f"{engine}: {figures[-1][0]:.2f} ms of processor a word, {figures[-1][1]:.0f} a "
                "second",
                flush=True,
            )
    for engine, base in (("plain", "alone"), ("ray", "plain")):
        for what, index, sign in (("processor time", 0, -1), ("words a second", 1, 1)):
            pairs = zip(found[engine], found[base], strict=True)
            fractions = [(one[index] / other[index]) ** sign for one, other in pairs]
            print(
                f"{engine}, {what}: {100 * median(fractions):.0f} % of {base} ("
                f"{min(fractions):.2f} to "
                f"{max(fractions):.2f})"
            )


def scaling(words: Path, folder: Path, counts: Sequence[int]) -> None:
    """Measure words per second with that many workers that sleep."""
    for workers in counts:
        output = folder / f"scaling-{workers}"
        shutil.rmtree(output, ignore_errors=True)
        read_all(
            [words],
            output,
            engine="ray",
            per_part=100,
            workers=workers,
            cpus=0.2,
            recognizer=Sleepy,
        )
        print(
            f"{workers} workers: {rate(output, 100):.0f} words a second of {200 * workers}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("killed", "speed", "scaling"))
    parser.add_argument("--words", type=int, default=4000)
    parser.add_argument("--folder", type=Path, default=Path("outputs/bulk"))
    parser.add_argument("--engines", nargs="+", default=["ray"], choices=("plain", "ray"))
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count(),
        help="number of Ray workers, with one thread each, for `speed`",
    )
    parser.add_argument(
        "--threads",
        type=int,
        help="threads of the recognizer alone and of plain reading; by default all cores",
    )
    parser.add_argument(
        "--counts",
        type=int,
        nargs="+",
        default=[1, 2, 4, 8],
        help="numbers of sleeping workers, for `scaling`",
    )
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    words = draw(args.folder, args.words)
    if args.what == "killed":
        for engine in args.engines:
            killed(words, args.folder / f"killed-{engine}", args.words, engine)
    elif args.what == "speed":
        speed(words, args.folder, args.words, args.workers, args.threads)
    else:
        scaling(words, args.folder, args.counts)


if __name__ == "__main__":
    main()
