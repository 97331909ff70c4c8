"""Make an LMDB of words from a published data set and its annotations.

A run that was stopped resumes where it was when the same command is given again. Datasets.md has a
line for each set.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections import Counter
from pathlib import Path

from strhub.cli.program import HelpFormatter
from strhub.data.curation.writer import NothingWritten, WriteReport, write_words
from strhub.data.published import CONVERTERS, Converter, Notes, Source
from strhub.data.published.crop_scene import CropScene
from strhub.utils.progress import working
from strhub.utils.terminal import printable

SHOWN = 20  # messages


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a command of its own for each data set."""
    commands = parser.add_subparsers(dest="dataset", required=True, metavar="dataset")
    for converter in CONVERTERS.values():
        command = commands.add_parser(
            converter.name,
            help=converter.help,
            description=converter.help,
            formatter_class=HelpFormatter,
        )
        command.add_argument("--annotations", type=Path, required=True, help=converter.annotations)
        command.add_argument("--images", type=Path, required=True, help=converter.images)
        command.add_argument(
            "--output", type=Path, required=True, metavar="FOLDER", help="LMDB folder to write"
        )
        for option in converter.options:
            _add_option(command, option)
        _add_common(command)


def run(args: argparse.Namespace) -> None:
    """Convert, and say on stderr what became of everything. Raises as `convert` does."""
    notes = Notes()
    try:
        report = convert(CONVERTERS[args.dataset], args, notes)
    except NothingWritten as error:
        _print_report(error.report, notes, args)
        raise
    _print_report(report, notes, args)


def convert(converter: Converter, args: argparse.Namespace, notes: Notes) -> WriteReport:
    """Parse the annotations, crop the words and write them.

    Raises:
        OSError, ValueError: if an input or the output is of no use; the message says what to do.
    """
    if not args.images.is_dir():
        raise ValueError(f"{args.images}: no such folder; --images is the {converter.images}")
    if not args.annotations.exists():
        raise ValueError(
            f"{args.annotations}: there is no such file or folder; --annotations is the "
            f"{converter.annotations}"
        )
    optional = {
        name: getattr(args, name)
        for name in ("split", "level", "cropped", "separator", "labels")
        if name in converter.options
    }
    languages = tuple(name.lower() for name in getattr(args, "language", None) or ())
    source = Source(
        annotations=args.annotations, images=args.images, languages=languages, **optional
    )
    with working(f"reading {printable(str(args.annotations))}"):
        scenes = converter.parse(source, notes)
    if not scenes:
        first = f"; the first problem: {notes.problems[0]}" if notes.problems else ""
        raise ValueError(
            f"{args.annotations}: no word that could be used, {dict(notes.left_out)}{first}"
        )
    work = CropScene(
        rectified=args.rectified,
        margin=args.margin,
        turn_vertical=args.turn_vertical,
        follow_exif=args.follow_exif,
    )
    return write_words(
        args.output,
        scenes,
        work,
        fingerprint=_fingerprint(converter.name, source, work, len(scenes)),
        workers=args.workers,
        overwrite=args.overwrite,
    )


def _fingerprint(name: str, source: Source, work: CropScene, scenes: int) -> str:
    """Return a digest of all that decides what is written, except for the images themselves."""
    files = (
        sorted(source.annotations.iterdir())
        if source.annotations.is_dir()
        else [source.annotations]
    )
    files += [source.labels] if source.labels else []
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr((name, source, work, scenes, states)).encode()).hexdigest()


def _print_report(report: WriteReport, notes: Notes, args: argparse.Namespace) -> None:
    """Tell what became of everything, on stderr and, if asked for, all messages in a file."""
    problems = [*notes.problems, *report.problems]
    print(printable(f"{args.output}: {report.written} words"), file=sys.stderr)
    for reason, count in (notes.left_out + Counter(report.reasons)).most_common():
        print(f"  left out: {count} x {reason}", file=sys.stderr)
    for problem in problems[:SHOWN]:
        print(printable(f"  {problem}"), file=sys.stderr)
    if len(problems) > SHOWN:
        print(
            f"  ... and {len(problems) - SHOWN} more; --problems FILE writes them all",
            file=sys.stderr,
        )
    if args.problems:
        args.problems.write_text("".join(f"{problem}\n" for problem in problems), encoding="utf-8")


def _add_option(command: argparse.ArgumentParser, name: str) -> None:
    if name == "split":
        command.add_argument(
            "--split",
            choices=["train", "val", "test"],
            help="convert only this part; by default all",
        )
    elif name == "language":
        command.add_argument(
            "--language",
            action="append",
            metavar="NAME",
            help="convert only words of this language or script, such as Latin; repeatable",
        )
    elif name == "level":
        command.add_argument(
            "--level",
            choices=["lines", "chars"],
            default="lines",
            help="make a record of each line or of each character",
        )
    elif name == "cropped":
        command.add_argument(
            "--cropped", action="store_true", help="the images are crops of words already"
        )
    elif name == "separator":
        command.add_argument(
            "--separator",
            choices=["auto", "tab", "comma", "space"],
            default="auto",
            help="separator of names and labels in the list",
        )
    else:
        command.add_argument(
            "--labels",
            type=Path,
            metavar="FILE",
            help="list of `name,label` to take the labels from",
        )


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--rectified",
        action="store_true",
        help="rectify words; by default their upright bounding boxes are cropped",
    )
    command.add_argument(
        "--margin",
        type=_margin,
        default=0.0,
        metavar="FRACTION",
        help="margin on each side, in heights of the word",
    )
    command.add_argument(
        "--turn-vertical",
        action="store_true",
        help="rotate words of several characters in crops over 1.5 times as high as wide",
    )
    command.add_argument(
        "--follow-exif",
        action="store_true",
        help="rotate scenes as their orientation tags say, if the annotations expect that",
    )
    command.add_argument(
        "--workers", type=int, default=min(8, os.cpu_count() or 1), help="processes that crop words"
    )
    command.add_argument("--overwrite", action="store_true", help="replace an existing LMDB")
    command.add_argument(
        "--problems",
        type=Path,
        metavar="FILE",
        help="file to list everything in that could not be used",
    )


def _margin(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 5:
        raise argparse.ArgumentTypeError("a margin must be from 0 to 5 times the word's height")
    return value
