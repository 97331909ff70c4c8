"""Copy the records of several LMDB folders, or trees of them, to one LMDB folder."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from functools import reduce
from pathlib import Path

from strhub.utils.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `merge`."""
    parser.add_argument("output", type=Path, help="LMDB folder to write")
    parser.add_argument(
        "inputs",
        type=Path,
        nargs="+",
        metavar="input",
        help="LMDB folders, or trees of them, in the order to copy",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing LMDB")


def run(arguments: argparse.Namespace) -> None:
    """Copy, say how many."""
    import numpy as np

    from strhub.cli.data_commands.filter import print_outcome
    from strhub.data.curation.reshaping import copy_records
    from strhub.data.curation.scan import Scan, scan

    scanned = reduce(
        Scan.joined,
        [scan(tree, read_images=False, progress=sys.stderr.isatty()) for tree in arguments.inputs],
    )
    for folder, problem in scanned.damaged:
        print(printable(f"left out: {folder}: {problem}"), file=sys.stderr)
    everything = np.ones(len(scanned.records), dtype=bool)
    report = copy_records(arguments.output, scanned, everything, overwrite=arguments.overwrite)
    print_outcome(arguments.output, report.written, Counter(report.reasons))
