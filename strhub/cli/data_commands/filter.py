"""Copy the records that pass the filters from a tree to one LMDB folder."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from strhub.cli.arguments import default_workers
from strhub.utils.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `filter`."""
    add = parser.add_argument
    add("input", type=Path, help="LMDB folder, or a tree of them")
    add("output", type=Path, help="LMDB folder to write")
    add(
        "--charset",
        help="drop labels with other characters: a name in configs/charset, @FILE, or the "
        "characters",
    )
    add("--max_length", type=int, help="drop labels longer than this, in characters")
    add("--min_side", type=int, help="drop images whose width or height is below this, in pixels")
    add(
        "--min_aspect",
        type=float,
        metavar="RATIO",
        help="drop images whose width / height is below this",
    )
    add(
        "--max_aspect",
        type=float,
        metavar="RATIO",
        help="drop images whose width / height is above this",
    )
    add(
        "--match",
        metavar="REGEX",
        help="keep only labels that this regular expression matches anywhere",
    )
    add(
        "--vertical",
        choices=("keep", "drop"),
        default="keep",
        help="keep or drop images over 1.5 times as high as wide",
    )
    add(
        "--drop_unreadable",
        action="store_true",
        help="drop images that cannot be decoded; implied by all other options about images",
    )
    add(
        "--drop_duplicates",
        action="store_true",
        help="keep only the first of identical or nearly identical images",
    )
    add(
        "--without",
        type=Path,
        metavar="TREE",
        help="drop images that are in this tree, too",
    )
    add("--workers", type=int, default=default_workers(), help="processes that read images")
    add("--overwrite", action="store_true", help="replace an existing LMDB")


def run(arguments: argparse.Namespace) -> None:
    """Choose, copy, say what was kept and dropped."""
    from strhub.data.curation.charsets import named_charset
    from strhub.data.curation.reshaping import KeepRules, choose, copy_records

    rules = KeepRules(
        charset=None if arguments.charset is None else named_charset(arguments.charset),
        max_length=arguments.max_length,
        min_side=arguments.min_side,
        min_aspect=arguments.min_aspect,
        max_aspect=arguments.max_aspect,
        match=arguments.match,
        drop_vertical=arguments.vertical == "drop",
        drop_unreadable=arguments.drop_unreadable,
        drop_duplicates=arguments.drop_duplicates,
        without=arguments.without,
    )
    scanned, kept, dropped = choose(
        arguments.input, rules, workers=arguments.workers, progress=sys.stderr.isatty()
    )
    for folder, problem in scanned.damaged:
        print(printable(f"left out: {folder}: {problem}"), file=sys.stderr)
    report = copy_records(arguments.output, scanned, kept, overwrite=arguments.overwrite)
    print_outcome(arguments.output, report.written, dropped + Counter(report.reasons))


def print_outcome(folder: Path, kept: int, dropped: Counter[str]) -> None:
    """Print in one line how many records were kept, and how many were dropped, by reason."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
    print(
        printable(
            f"{folder}: {kept} records kept, {dropped.total()} "
            f"dropped{f': {reasons}' if reasons else ''}"
        )
    )
