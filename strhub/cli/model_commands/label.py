"""Label unlabeled images with a model's own readings, for self-training.

A reading is kept if its confidence is at least --min_confidence and, for architectures that can
decode in several ways, if decoding step by step and all at once agree. The others are counted. The
same command resumes a run that was stopped.

example:
  strhub-model label data/unlabelled data/train/self --model outputs/tiny/checkpoints/last.ckpt
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL.Image import Image

from strhub.data.curation.stored import StoredWords
from strhub.data.curation.writer import NothingWritten, Record, SkippedRecord, write_words
from strhub.data.sources.lmdb import find_lmdbs
from strhub.images.open import UnreadableImage, open_bytes

if TYPE_CHECKING:
    from strhub.inference.recognizer import Recognizer

CHUNK = 32  # images read at a time


class Labeler:
    """Work for `write_words`: the records of (data set, first record) that are read with
    confidence.
    """

    def __init__(
        self, sources: list[StoredWords], recognizers: list[Recognizer], min_confidence: float
    ) -> None:
        self.sources, self.recognizers, self.min_confidence = sources, recognizers, min_confidence

    def __call__(self, job: tuple[int, int]) -> Iterator[Record]:
        source, first = self.sources[job[0]], job[1]
        numbers = range(first, min(first + CHUNK, source.count + 1))
        records = [record.encoded or b"" for record in source.records(numbers)]
        images = [opened(encoded) for encoded in records]
        readings, *others = [recognizer(images) for recognizer in self.recognizers]
        kept = 0
        for row, reading in enumerate(readings):
            agreed = all(other[row].text == reading.text for other in others)
            if reading.text and agreed and reading.confidence >= self.min_confidence:
                kept += 1
                yield records[row], reading.text
        if kept < len(numbers):
            raise SkippedRecord(
                f"{source.path}: {len(numbers) - kept} of records {numbers[0]} to {numbers[-1]}"
            )


def opened(encoded: bytes) -> Image | None:
    """Return the image, or None, which a `Recognizer` reports as unreadable."""
    try:
        return open_bytes(encoded)
    except UnreadableImage:
        return None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of label."""
    parser.add_argument("input", type=Path, help="LMDB folder, or a tree of them")
    parser.add_argument("output", type=Path, help="LMDB folder to write")
    parser.add_argument("--model", default="strhub-tiny", help="id or path of the model")
    parser.add_argument(
        "--min_confidence",
        type=float,
        default=0.9,
        metavar="CONFIDENCE",
        help="lowest confidence to keep, from 0 to 1",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing LMDB")


def recognizers_of(name: str) -> list[Recognizer]:
    """Return a model's readers: one, or of a model that can read in several ways, two."""
    from strhub.checkpoint.zoo import load
    from strhub.inference.recognizer import Recognizer

    model = load(name)
    recognizers = [Recognizer(model, batch_size=CHUNK)]
    if "decode_ar" in model.model.decoding_options:
        recognizers.append(Recognizer(name, batch_size=CHUNK, decode_ar=False, refine_iters=1))
    return recognizers


def run(args: argparse.Namespace) -> None:
    """Label, and print how many images are. Raises `ValueError` if nothing can be read."""
    paths = find_lmdbs(args.input)
    if not paths:
        raise ValueError(f"there is no LMDB folder (data.mdb) in {args.input}")
    sources = [StoredWords(path) for path in paths]
    recognizers = recognizers_of(args.model)
    jobs = [
        (number, first)
        for number, source in enumerate(sources)
        for first in range(1, source.count + 1, CHUNK)
    ]
    inputs = [
        args.model,
        args.min_confidence,
        [(str(source.path.resolve()), source.count) for source in sources],
    ]
    total = sum(source.count for source in sources)
    try:
        report = write_words(
            args.output,
            jobs,
            Labeler(sources, recognizers, args.min_confidence),
            fingerprint=hashlib.sha256(repr(inputs).encode()).hexdigest(),
            overwrite=args.overwrite,
        )
    except NothingWritten:
        print(
            f"none of {total} images is read with confidence {args.min_confidence}: {args.output} "
            "is not made"
        )
        return
    print(
        f"{args.output}: {report.written} of {total} images labeled, {total - report.written} left "
        "out as doubtful"
    )
