"""Report what is in a data set: counts, labels, image sizes, damage, duplicates and overlap.

LMDB folders, folders of labeled images, and tar shards can be inspected.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from strhub.cli.arguments import default_workers
from strhub.utils.terminal import printable_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `inspect`."""
    parser.add_argument(
        "tree",
        type=Path,
        help="folder at or below which LMDB folders, labeled images or tars are",
    )
    parser.add_argument(
        "other",
        type=Path,
        nargs="?",
        help="second tree, such as data/test; images that are in both are listed",
    )
    parser.add_argument(
        "--charset",
        default="94_full",
        help="expected characters: a name in configs/charset, @FILE, or the characters themselves",
    )
    parser.add_argument(
        "--max_length",
        type=int,
        default=25,
        help="longest label that training would keep, in characters",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="JSON file to write all findings to"
    )
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="HTML page to write, with images, in one file"
    )
    parser.add_argument(
        "--workers", type=int, default=default_workers(), help="processes that read images"
    )


def run(arguments: argparse.Namespace) -> None:
    """Inspect, print the summary, write the files asked for."""
    from strhub.data.curation.charsets import named_charset
    from strhub.data.curation.inspection import inspect, text_summary
    from strhub.utils.files import write_whole

    report = inspect(
        arguments.tree,
        arguments.other,
        charset=named_charset(arguments.charset),
        max_length=arguments.max_length,
        workers=arguments.workers,
        progress=sys.stderr.isatty(),
    )
    print(printable_lines(text_summary(report), indent=""))
    if arguments.json:
        write_whole(arguments.json, json.dumps(report, ensure_ascii=True, indent=1) + "\n")
    if arguments.html:
        from strhub.data.curation.inspection_page import page

        write_whole(arguments.html, page(report))
