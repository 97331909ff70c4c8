"""Make an LMDB from a folder of images and their labels."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from strhub.data.curation.writer import (
    NothingWritten,
    Record,
    SkippedRecord,
    WriteReport,
    write_words,
)
from strhub.data.sources.annotations import FORMATS, NAME_RULES, Annotation, Annotations
from strhub.images.open import MAX_BYTES, open_bytes
from strhub.utils.regular_files import read_regular
from strhub.utils.terminal import printable

SHOWN_PROBLEMS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of make."""
    parser.add_argument(
        "input",
        type=Path,
        help="annotation file, or a folder that contains one, or a folder of images",
    )
    parser.add_argument("output", type=Path, help="LMDB folder to write")
    parser.add_argument(
        "--format",
        choices=("auto", *FORMATS),
        default="auto",
        help="csv, tsv: columns of paths and labels; jsonl: one object per line; json: as in docTR "
        "or MMOCR; gt: path, then a tab, comma or space, then label; txt: a text file beside each "
        "image; names: images named by their labels; auto: detected",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="folder that paths are relative to; by default that of the input",
    )
    parser.add_argument(
        "--name-rule",
        choices=tuple(NAME_RULES),
        default="suffix",
        help="where --format names finds the label; suffix: word_0001.png or word.png; prefix: "
        "0001_word.png; middle: 12_word_345.png",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=min(4, os.cpu_count() or 1),
        help="processes that check images",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing LMDB")
    parser.add_argument(
        "--strict", action="store_true", help="stop at the first image or label that cannot be used"
    )


def run(arguments: argparse.Namespace) -> None:
    """Check every image, write those that can be used, print what became of them."""
    form = None if arguments.format == "auto" else arguments.format
    annotations = Annotations(
        arguments.input, form=form, images=arguments.images, name_rule=arguments.name_rule
    )
    jobs = _with_label(annotations)
    _tell_outside(annotations, jobs)
    if annotations.problems and arguments.strict:
        raise ValueError(annotations.problems[0])
    try:
        report = write_words(
            arguments.output,
            jobs,
            ReadImage(annotations, strict=arguments.strict),
            fingerprint=_fingerprint(annotations, jobs, strict=arguments.strict),
            workers=arguments.workers,
            overwrite=arguments.overwrite,
        )
    except NothingWritten as error:
        _print_skipped(annotations, error.report)
        found = len(jobs) + annotations.skipped.total()
        what = (
            f"none of its {found} images or lines can be used"
            if found
            else "there are no images in it"
        )
        raise ValueError(
            f"{annotations.source}: {what}, so {arguments.output} was not made"
        ) from error
    _print_skipped(annotations, report)
    print(printable(f"{arguments.output}: {report.written} words written"))


def _with_label(annotations: Annotations) -> list[Annotation]:
    found = []
    for annotation in annotations:
        if annotation.label:
            found.append(annotation)
        else:
            annotations.skip("empty label", f"{annotations.where(annotation)}: the label is empty")
    return found


def _tell_outside(annotations: Annotations, jobs: Sequence[Annotation]) -> None:
    """Say on stderr which images a label file names that are not below the folder of images: it may
    name any, and the LMDB may be meant for others.
    """
    folder = os.path.abspath(annotations.images)
    paths = (os.path.abspath(os.path.join(folder, job.image)) for job in jobs)
    outside = [path for path in paths if not path.startswith(os.path.join(folder, ""))]
    if outside:
        line = f"{len(outside)} of {len(jobs)} images lie outside of {folder}, such as {outside[0]}"
        print(printable(line), file=sys.stderr)


class ReadImage:
    """The file of an image and its label, once it has been decoded as a whole. It is stored as it
    is.
    """

    def __init__(self, annotations: Annotations, *, strict: bool) -> None:
        self.annotations, self.strict = annotations, strict

    def __call__(self, annotation: Annotation) -> Iterator[Record]:
        """Raise `SkippedRecord`, or if strict `ValueError`, for an image that is missing or cannot
        be read.
        """
        try:
            yield self._read(annotation), annotation.label
        except SkippedRecord as error:
            if not self.strict:
                raise
            raise ValueError(str(error)) from error

    def _read(self, annotation: Annotation) -> bytes:
        path, where = self.annotations.path(annotation), self.annotations.where(annotation)
        try:
            content = read_regular(path, max_bytes=MAX_BYTES)
            open_bytes(content)
        except FileNotFoundError as error:
            raise SkippedRecord(f"{where}: there is no such image", "missing image") from error
        except OSError as error:
            raise SkippedRecord(
                f"{where}: {error.strerror or error}", "unreadable image"
            ) from error
        except ValueError as error:  # also for paths that no file can have
            raise SkippedRecord(f"{where}: {error}", "unreadable image") from error
        return content


def _fingerprint(annotations: Annotations, jobs: list[Annotation], *, strict: bool) -> str:
    """Return a digest of all labels, and of the size and time of all images: only a run with the
    same one resumes another.
    """
    digest = hashlib.sha256(
        repr((str(annotations.images.absolute()), annotations.form, strict)).encode()
    )
    for job in jobs:
        try:
            status = os.stat(annotations.path(job))
            state = (status.st_size, status.st_mtime_ns)
        except (OSError, ValueError):
            state = (-1, -1)
        digest.update(repr((*job, *state)).encode())
    return digest.hexdigest()


def _print_skipped(annotations: Annotations, report: WriteReport) -> None:
    """Print to stderr what was skipped."""
    problems = [*annotations.problems, *report.problems]
    for problem in problems[:SHOWN_PROBLEMS]:
        print(printable(problem), file=sys.stderr)
    reasons = Counter(report.reasons) + annotations.skipped
    if reasons:
        counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        print(
            f"skipped: {counts}"
            f"{'' if len(problems) <= SHOWN_PROBLEMS else '; the first are above'}",
            file=sys.stderr,
        )
