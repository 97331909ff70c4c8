"""Copy the records of a tree to two LMDB folders, such as for training and validation."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `split`."""
    parser.add_argument("input", type=Path, help="LMDB folder, or a tree of them")
    parser.add_argument("first", type=Path, help="LMDB folder to make")
    parser.add_argument("second", type=Path, help="LMDB folder to make of the rest")
    parser.add_argument(
        "--share", type=float, required=True, help="of records that go to the first, over 0 and under 1"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed splits in the same way")
    parser.add_argument(
        "--by",
        choices=("label", "record"),
        default="label",
        help="label: no word is in both, whatever its case, accents and punctuation; record: each for itself",
    )


def run(arguments: argparse.Namespace) -> None:
    """Deal out, copy, say how many."""
    from strhub.cli.data_commands.filter import print_outcome
    from strhub.data.curation.reshaping import copy_records, split_by_label, split_by_record
    from strhub.data.curation.scan import scan

    if not 0 < arguments.share < 1:
        raise ValueError(f"--share must be over 0 and under 1, not {arguments.share}")
    if arguments.seed < 0:
        raise ValueError(f"--seed must be at least 0, not {arguments.seed}")
    if arguments.first.resolve() == arguments.second.resolve():
        raise ValueError(f"both parts would go to {arguments.first}: give two folders")
    for folder in (arguments.first, arguments.second):
        if folder.exists():
            raise ValueError(f"{folder} already exists: remove it or choose another name")
    scanned = scan(arguments.input, pictures=False)
    for folder, problem in scanned.damaged:
        print(f"left out: {folder}: {problem}", file=sys.stderr)
    if arguments.by == "label":
        first = split_by_label(scanned.records["label"], arguments.share, arguments.seed)
    else:
        first = split_by_record(len(scanned.records), arguments.share, arguments.seed)
    if first.all() or not first.any():
        raise ValueError(
            f"one part of {arguments.input} would be empty: it has {len(first)} records, which is too few to split"
            f" {arguments.share} by {arguments.by}"
        )
    for folder, chosen in ((arguments.first, first), (arguments.second, ~first)):
        report = copy_records(folder, scanned, chosen)
        print_outcome(folder, report.written, Counter(report.reasons))
