"""Split the records of a tree into two LMDB folders, such as for training and validation."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from strhub.utils.files import write_whole
from strhub.utils.locks import locked
from strhub.utils.regular_files import read_regular_text
from strhub.utils.renamed_option import RenamedOption
from strhub.utils.terminal import printable

if TYPE_CHECKING:
    from strhub.data.curation.reshaping import Array
    from strhub.data.curation.scan import Scan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `split`."""
    parser.add_argument("input", type=Path, help="LMDB folder, or a tree of them")
    parser.add_argument("first", type=Path, help="LMDB folder to write")
    parser.add_argument("second", type=Path, help="LMDB folder to write the rest to")
    parser.add_argument(
        "--fraction",
        type=float,
        metavar="FRACTION",
        help="fraction of the records that goes to the first folder, between 0 and 1; required",
    )
    parser.add_argument(
        "--share", dest="fraction", type=float, action=RenamedOption, help=argparse.SUPPRESS
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed; the same seed makes the same split"
    )
    parser.add_argument(
        "--by",
        choices=("label", "record"),
        default="label",
        help="label: all records of one word, regardless of case, accents and punctuation, go to "
        "the same folder; record: independently",
    )


def run(arguments: argparse.Namespace) -> None:
    """Deal out, copy, say how many. A run that was stopped is resumed by the same command."""
    from strhub.data.curation.scan import scan

    if arguments.fraction is None:
        raise ValueError(
            "--fraction is missing: set the fraction of the records that goes to the first folder"
        )
    if not 0 < arguments.fraction < 1:
        raise ValueError(f"--fraction must be over 0 and under 1, not {arguments.fraction}")
    if arguments.seed < 0:
        raise ValueError(f"--seed must be at least 0, not {arguments.seed}")
    if arguments.first.resolve() == arguments.second.resolve():
        raise ValueError(f"both parts would be written to {arguments.first}: choose two folders")
    target = arguments.first.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    note = target.with_name(f".{target.name}.split")
    try:
        with locked(target.with_name(f".{target.name}.split.lock")):
            if not note.exists():
                _check_new(arguments)
            scanned = scan(arguments.input, read_images=False, progress=sys.stderr.isatty())
            for folder, problem in scanned.damaged:
                print(printable(f"left out: {folder}: {problem}"), file=sys.stderr)
            _copy(arguments, scanned, _first_part(arguments, scanned), note)
    except BlockingIOError as error:
        raise ValueError(
            f"another process is splitting to {arguments.first}: wait for it"
        ) from error


def _first_part(arguments: argparse.Namespace, scanned: Scan) -> Array:
    """Return which records go to the first folder, (N,) bool."""
    from strhub.data.curation.reshaping import split_by_label, split_by_record

    if arguments.by == "label":
        first = split_by_label(scanned.records["label"], arguments.fraction, arguments.seed)
    else:
        first = split_by_record(len(scanned.records), arguments.fraction, arguments.seed)
    if first.all() or not first.any():
        raise ValueError(
            f"one part of {arguments.input} would be empty: it has {len(first)} records, which is "
            "too few to split"
            f" {arguments.fraction} by {arguments.by}"
        )
    return first


def _copy(arguments: argparse.Namespace, scanned: Scan, first: Array, note: Path) -> None:
    """Write both parts. The note says which records an unfinished run writes, so that what it has
    done is known.
    """
    import numpy as np

    from strhub.cli.data_commands.filter import print_outcome
    from strhub.data.curation.reshaping import Locations, copy_records
    from strhub.data.curation.writer import lock_of
    from strhub.data.sources.lmdb import LmdbFile, is_lmdb

    work = (
        f"{Locations(scanned, np.flatnonzero(first)).fingerprint()} {arguments.second.absolute()}"
    )
    resumed = note.exists() and _stored(note) == work
    if not resumed:
        _check_new(arguments)
        write_whole(note, work)
    for folder, chosen in ((arguments.first, first), (arguments.second, ~first)):
        if resumed and is_lmdb(folder):
            count, _ = LmdbFile(folder).count()
            print(f"{folder}: {count} records kept by the run before")
            with locked(lock_of(folder)):  # left by a run that is killed at its very end
                pass
            continue
        report = copy_records(folder, scanned, chosen)
        print_outcome(folder, report.written, Counter(report.reasons))
    note.unlink()


def _check_new(arguments: argparse.Namespace) -> None:
    for folder in (arguments.first, arguments.second):
        if folder.exists():
            raise ValueError(f"{folder} already exists: remove it or choose another name")


def _stored(note: Path) -> str:
    """Return the text of a note; '' if it is none."""
    try:
        return read_regular_text(note, max_bytes=1 << 20)
    except (OSError, UnicodeDecodeError):
        return ""
