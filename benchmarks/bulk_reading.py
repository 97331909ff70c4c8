#!/usr/bin/env python3
"""Bulk reading: nothing lost or read twice when it is killed, its speed against plain reading, and how it grows.

python benchmarks/bulk_reading.py killed --words 20000   # killed -9 twice, at random moments, and gone on with
python benchmarks/bulk_reading.py speed --words 4000     # Recognizer alone, engine plain and engine ray, in turn
python benchmarks/bulk_reading.py scaling                # workers whose model sleeps: more of them than there are cores
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

from pyarrow import parquet

from strhub import Recognizer
from strhub.bulk import read_all
from strhub.bulk.inputs import Span, Unit, pictures
from strhub.data.lmdb import write_lmdb
from strhub.data.synth import DrawnWords
from strhub.reading import Reading
from strhub.text import CHARSET_36

ROOT = Path(__file__).parent.parent


class Sleepy:
    """Reads nothing, in 5 ms a picture."""

    batch_size = 32

    def __call__(self, given):
        time.sleep(0.005 * len(given))
        return [Reading("", 0.0) for _ in given]


def draw(folder: Path, count: int) -> Path:
    """Words to LMDB, once."""
    path = folder / f"words-{count}"
    if not path.exists():
        words = DrawnWords(charset=CHARSET_36, max_length=8, seed=5, difficulty=0.0)
        print(f"drawing {count} words", flush=True)
        write_lmdb(path, (words.draw(index) for index in range(count)))
    return path


def sources(output: Path) -> list[str]:
    """Of all rows."""
    return [name for path in output.glob("*.parquet") for name in parquet.read_table(path)["source"].to_pylist()]


def killed(words: Path, output: Path, count: int, engine: str) -> None:
    """Kill the command at two random moments between its first and its last part; then let it end."""
    command = [sys.executable, "read.py", "--images", str(words), "--output", str(output), "--engine", engine,
               "--per_part", "500"]  # fmt: skip
    rng = random.Random(3)
    stops = sorted(rng.randrange(1, count // 500) for _ in range(2))
    for stop in [*stops, None]:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
        while stop is not None and process.poll() is None and len(list(output.glob("*.parquet"))) < stop:
            time.sleep(0.05)
        if stop is not None:
            time.sleep(rng.random())
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        there = sources(output)
        print(f"{engine}: ended with {status} after {time.monotonic() - began:.0f} s; {len(there)} rows", flush=True)
    expected = {f"{words}#{number}" for number in range(1, count + 1)}
    print(f"{engine}: {len(there)} rows, {len(set(there))} of them different, {len(expected - set(there))} missing")


def rate(output: Path, per_part: int) -> float:
    """Words a second between the first part and the last."""
    times = sorted(path.stat().st_mtime for path in output.glob("*.parquet"))
    return per_part * (len(times) - 1) / (times[-1] - times[0])


class Timed:
    """The recogniser, that notes the processor time of its process, all threads, whenever it is called."""

    def __init__(self, path: str) -> None:
        self.path, self.reader = path, Recognizer("strhub-tiny", device="cpu")
        self.batch_size = self.reader.batch_size

    def __call__(self, given):
        with open(self.path, "a") as file:
            file.write(f"{time.process_time()} {len(given)}\n")
        return self.reader(given)


def milliseconds(path: Path) -> float:
    """Processor time a word from the fifth call to the last: decoding, reading, writing and what the engine takes."""
    calls = [tuple(map(float, line.split())) for line in path.read_text().splitlines()][4:]
    return 1000 * (calls[-1][0] - calls[0][0]) / sum(count for _, count in calls[:-1])


def speed(words: Path, folder: Path, count: int) -> None:
    """Processor time a word, in turn, so that what else the machine does meets all alike."""
    found: dict[str, list[float]] = {"alone": [], "plain": [], "ray": []}
    for turn in range(3):
        for engine, times in found.items():
            output, notes = folder / f"speed-{engine}-{turn}", (folder / f"{engine}-{turn}.txt").absolute()
            if engine == "alone":
                reader, remaining = Timed(str(notes)), pictures(Unit("lmdb", str(words), Span(0, count)))
                while batch := [picture.image for picture in islice(remaining, reader.batch_size)]:
                    reader(batch)
            else:
                read_all([words], output, engine=engine, per_part=200, workers=1, recognizer=partial(Timed, str(notes)))
            times.append(milliseconds(notes))
        print({engine: round(times[-1], 2) for engine, times in found.items()}, flush=True)
    for engine in ("plain", "ray"):
        shares = [alone / taken for taken, alone in zip(found[engine], found["alone"], strict=True)]
        print(
            f"{engine}: {100 * median(shares):.0f} % of the recogniser alone ({min(shares):.2f} to {max(shares):.2f})"
        )


def scaling(words: Path, folder: Path) -> None:
    """Words a second with 1, 2, 4 and 8 workers that sleep."""
    for workers in (1, 2, 4, 8):
        output = folder / f"scaling-{workers}"
        read_all([words], output, engine="ray", per_part=100, workers=workers, cpus=0.2, recognizer=Sleepy)
        print(f"{workers} workers: {rate(output, 100):.0f} words a second of {200 * workers}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("killed", "speed", "scaling"))
    parser.add_argument("--words", type=int, default=4000)
    parser.add_argument("--folder", type=Path, default=Path("outputs/bulk"))
    parser.add_argument("--engines", nargs="+", default=["ray"], choices=("plain", "ray"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    words = draw(given.folder, given.words)
    if given.what == "killed":
        for engine in given.engines:
            killed(words, given.folder / f"killed-{engine}", given.words, engine)
    elif given.what == "speed":
        speed(words, given.folder, given.words)
    else:
        scaling(words, given.folder)


if __name__ == "__main__":
    main()
