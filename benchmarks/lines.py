#!/usr/bin/env python3
"""Measure how well a model reads lines of several words, and how confident it is where there is
nothing to read.

python benchmarks/lines.py strhub-small --data_root data --sets val/IIIT5k val/IC15

Lines are composed of two to six words of the sets, or rendered; only letters and digits count, in
lower case. `words`: the harmonic mean of recall (words of a line that are read) and precision
(words read that are right), in order; `cuts`: the fraction of lines that are split into the right
number of words.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from strhub import Recognizer
from strhub.data.sources.composed import ComposedLines
from strhub.data.sources.dataset import WordDataset
from strhub.data.sources.lmdb import LmdbWords, find_lmdbs
from strhub.data.synth import RenderedWords
from strhub.text import CHARSET_36, CHARSET_94, CharsetAdapter

Line = tuple[Image.Image, str]
TEXTS = {"word": 0.6, "name": 0.15, "number": 0.1, "price": 0.05, "time": 0.05, "code": 0.05}


def as_it_is(image: Image.Image, rng: Any) -> Image.Image:
    return image


def composed_lines(folders: Sequence[Path], count: int) -> list[Line]:
    """Return lines of words of the LMDBs in the folders, the same ones every time."""
    sources = [
        LmdbWords(path, prepare_label=str) for folder in folders for path in find_lmdbs(folder)
    ]
    if not sources:
        raise SystemExit(f"lines: there is no LMDB in {', '.join(map(str, folders))}")
    words = WordDataset(sources, transform=as_it_is)
    lines = ComposedLines(words, size=count, max_length=100, transform=as_it_is)
    return [
        (line.image, line.label)
        for line in lines.__getitems__([(index, 9) for index in range(count)])
    ]


def rendered_lines(count: int) -> list[Line]:
    """Return rendered lines of two words or more."""
    words = RenderedWords(
        charset=CHARSET_94 + " ", max_length=60, seed=91_000, difficulty=(0.0, 0.8), mixture=TEXTS
    )
    rendered = (words.render(index) for index in range(20 * count))
    return [
        line
        for line, _ in zip((one for one in rendered if " " in one[1]), range(count), strict=False)
    ]


def in_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Count the words that two lines have in common, in order: the length of their longest common
    subsequence.
    """
    lengths = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
    for row, one in enumerate(first):
        for column, other in enumerate(second):
            longest = max(lengths[row, column + 1], lengths[row + 1, column])
            lengths[row + 1, column + 1] = lengths[row, column] + 1 if one == other else longest
    return int(lengths[-1, -1])


def measure(reader: Recognizer, lines: Sequence[Line]) -> str:
    """Return the line of the table, without its name."""
    adapt = CharsetAdapter(CHARSET_36)
    found, right, read, cuts = 0, 0, 0, 0
    for reading, (_, label) in zip(reader([image for image, _ in lines]), lines, strict=True):
        wanted = [word for word in map(adapt, label.split(" ")) if word]
        got = [word for word in map(adapt, reading.text.split(" ")) if word]
        right, found, read = right + in_common(wanted, got), found + len(wanted), read + len(got)
        cuts += len(wanted) == len(got)
    return (
        f"{len(lines)} | {100 * 2 * right / max(1, found + read):.1f} | "
        f"{100 * cuts / len(lines):.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="ids or paths of models")
    parser.add_argument("--data_root", type=Path, default=Path("data"))
    parser.add_argument(
        "--sets",
        nargs="*",
        default=[],
        metavar="NAME",
        help="folders of data_root, such as val/IC15",
    )
    parser.add_argument(
        "--count",
        type=int,
        default=200,
        help="number of lines of each kind; twice as many blank images",
    )
    args = parser.parse_args()
    kinds = {"rendered": rendered_lines(args.count)}
    if args.sets:
        kinds["composed"] = composed_lines(
            [args.data_root / name for name in args.sets], args.count
        )
    blank = RenderedWords(charset="a", max_length=1, seed=78, difficulty=(0.0, 1.0), blanks=1.0)
    blanks = [blank.render(index)[0] for index in range(2 * args.count)]
    print("| model | lines | count | words | cuts |\n| --- | --- | --- | --- | --- |")
    for model in args.models:
        reader = Recognizer(model, lines=True)
        for kind, lines in kinds.items():
            print(f"| {Path(model).name} | {kind} | {measure(reader, lines)} |", flush=True)
    for model in args.models:
        sure = sum(reading.confidence > 0.5 for reading in Recognizer(model)(blanks))
        print(f"{model}: {sure} of {len(blanks)} blank images are read with a confidence above 0.5")


if __name__ == "__main__":
    main()
