"""Apply corrections downloaded from the page of `suspects`, and write a new LMDB folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from strhub.utils.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `correct`."""
    parser.add_argument(
        "tree",
        help="data set to correct: LMDB folders, labeled images, or a pattern of .tar files",
    )
    parser.add_argument(
        "corrections", type=Path, help="corrections.tsv, as downloaded from suspects.html"
    )
    parser.add_argument("output", type=Path, help="LMDB folder to write")


def run(arguments: argparse.Namespace) -> None:
    """Correct, and say what was done."""
    from strhub.data.curation.corrections import apply_corrections

    done = apply_corrections(arguments.tree, arguments.corrections, arguments.output)
    lost = f", {done.without_image} left out for want of an image" if done.without_image else ""
    changed = f"{done.corrected} labels corrected, {done.removed} words removed{lost}"
    print(printable(f"{arguments.output}: {done.written} words, {changed}"))
