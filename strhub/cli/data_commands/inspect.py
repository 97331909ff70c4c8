"""Report what is in LMDB folders, labeled images or tar shards: counts, labels, sizes, damage,
duplicates, overlap with another tree.
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
        help="LMDB folders, labeled images or tars, at or below it",
    )
    parser.add_argument(
        "other",
        type=Path,
        nargs="?",
        help="second tree, such as data/test; what is in both is listed",
    )
    parser.add_argument(
        "--charset",
        default="94_full",
        help="name of a configuration, @ and a file, or the characters",
    )
    parser.add_argument(
        "--max_length", type=int, default=25, help="longest label that is kept, in characters"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all findings")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page with images, in one file"
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
