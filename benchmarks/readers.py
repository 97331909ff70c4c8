#!/usr/bin/env python3
"""Compare the readers that strhub knows on the same words: one table, by set, with intervals.

Usage: python benchmarks/readers.py data/val [--published PP-OCRv6_rec_small.onnx] [--also MODEL …]
[--json FILE]

Each line is a model and a way to read with it: one look at each word, doubtful words re-read in
other views, and the default of the model's file. Columns: for each set the percentage of words read
right in 36 characters (digits and letters, case ignored); over all words, the same with a 95 %
interval (Wilson), and the percentage in 94 characters (all printable ASCII); and milliseconds per
word, in batches of 32 with one thread. Times measured on a busy machine mean nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from strhub import CheckpointError, Recognizer
from strhub.data.sources.lmdb import find_lmdbs
from strhub.data.sources.word_sets import WordSet, open_set
from strhub.evaluation.readers import RecognizerReader
from strhub.evaluation.results.intervals import wilson
from strhub.evaluation.scoring import score
from strhub.text import CHARSET_36, CHARSET_94


class Way(NamedTuple):
    """A model and how it reads. options: of `Recognizer`."""

    model: str
    title: str
    options: dict[str, Any]


WAYS = (
    Way("strhub-tiny", "one look", {"reread_below": 0}),
    Way("strhub-tiny", "doubtful words read again", {"reread_below": 0.7}),
    Way("strhub-tiny", "default", {}),
    Way("ppocrv6-small", "one look", {"reread_below": 0}),
    Way("ppocrv6-small", "doubtful words read again", {"reread_below": 0.7}),
    Way("strhub-small", "one look", {"reread_below": 0, "word_prior": 0}),
    Way("strhub-small", "doubtful words read again", {"reread_below": 0.7, "word_prior": 0}),
    Way("strhub-small", "default", {}),
)


class Row(NamedTuple):
    """A line of the table. sets: right and all words in 36 characters, by set; others of all words
    together.
    """

    model: str
    title: str
    sets: dict[str, tuple[int, int]]
    right_36: int
    right_94: int
    words: int
    milliseconds: float


def measure(way: Way, sets: list[WordSet], threads: int) -> Row:
    """Read all sets; `CheckpointError` for a model that is not here."""
    recognizer = Recognizer(way.model, device="cpu", threads=threads, **way.options)
    begun = time.perf_counter()
    found = score(
        RecognizerReader(recognizer, {"name": way.model}),
        sets,
        charset=CHARSET_36,
        other_charsets=[CHARSET_94],
    )
    spent = time.perf_counter() - begun
    small, full = (found.scores[charset] for charset in (CHARSET_36, CHARSET_94))
    return Row(
        way.model.partition("@")[0],
        way.title,
        {name: (one.correct, one.samples) for name, one in small.items()},
        sum(one.correct for one in small.values()),
        sum(one.correct for one in full.values()),
        sum(one.samples for one in small.values()),
        1000 * spent / sum(one.samples for one in small.values()),
    )


def table(rows: list[Row]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    names = list(rows[0].sets) if rows else []
    counts = [f"{name} ({rows[0].sets[name][1]})" for name in names]
    yield "| " + " | ".join(["model", "reading", *counts, "all, 36 characters", "94", "ms"]) + " |"
    yield "| " + " | ".join(["---"] * (len(names) + 5)) + " |"
    for row in rows:
        _, low, high = wilson(row.right_36, row.words)
        cells = [f"{100 * right / words:.1f}" for right, words in row.sets.values()]
        together = f"{100 * row.right_36 / row.words:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        cells += [together, f"{100 * row.right_94 / row.words:.1f}", f"{row.milliseconds:.1f}"]
        yield "| " + " | ".join([row.model, row.title, *cells]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "words", type=Path, help="folder with an LMDB or a folder of words for each set"
    )
    parser.add_argument(
        "--also",
        nargs="*",
        default=[],
        metavar="MODEL",
        help="further models, with the options in their files",
    )
    parser.add_argument(
        "--only", nargs="*", metavar="MODEL", help="use only these of the usual models"
    )
    parser.add_argument(
        "--published",
        metavar="PATH",
        help="RapidOCR's wheel or its .onnx file, if it is not installed",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    sets = [open_set(path, path.name) for path in sorted(find_lmdbs(args.words))]
    if not sets:
        parser.error(f"there are no words in {args.words}")
    chosen = [way for way in WAYS if args.only is None or way.model in args.only]
    rows: list[Row] = []
    for way in [*chosen, *(Way(model, "default", {}) for model in args.also)]:
        if way.model == "ppocrv6-small" and args.published:
            way = way._replace(model=f"{way.model}@{args.published}")
        try:
            rows.append(measure(way, sets, args.threads))
        except CheckpointError as error:
            print(f"{way.model} is left out: {error}", flush=True)
    print("\n".join(table(rows)))
    if args.json:
        args.json.write_text(json.dumps([row._asdict() for row in rows], indent=1))


if __name__ == "__main__":
    main()
