"""Label unlabeled images with a model's own readings, for self-training.

A reading is kept if its confidence is at least --min_confidence and, for architectures that can
decode in several ways, if decoding step by step and all at once agree. The others are counted. The
same command resumes a run that was stopped.

With --readings, the best few readings of each image are stored with their probabilities: a soft
label, of which training draws another reading each time, as often as it is likely. So a small model
learns from a larger one where that one is in doubt, too.

examples:
  strhub-model label data/unlabelled data/train/self --model outputs/tiny/checkpoints/last.ckpt
  strhub-model label data/unlabelled data/train/soft --model strhub-small --readings 5
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
from strhub.data.sources.soft_labels import MAX_READINGS, SoftLabel
from strhub.images.open import UnreadableImage, open_bytes

if TYPE_CHECKING:
    from strhub.inference.reading import Reading
    from strhub.inference.recognizer import Recognizer

CHUNK = 32  # images read at a time
NEGLIGIBLE = 1e-3  # probability of a reading below which it is not stored


class Labeler:
    """Work for `write_words`: the records of (data set, first record) that are read with
    confidence; or, if labels are kept, all that have one, and what is read joins it.
    """

    def __init__(
        self,
        sources: list[StoredWords],
        recognizers: list[Recognizer],
        min_confidence: float,
        *,
        keep_labels: bool = False,
    ) -> None:
        self.sources, self.recognizers, self.min_confidence = sources, recognizers, min_confidence
        self.keep_labels = keep_labels

    def __call__(self, job: tuple[int, int]) -> Iterator[Record]:
        source, first = self.sources[job[0]], job[1]
        numbers = range(first, min(first + CHUNK, source.count + 1))
        stored = [*source.records(numbers)]
        records = [record.encoded or b"" for record in stored]
        images = [opened(encoded) for encoded in records]
        readings, *others = [recognizer(images) for recognizer in self.recognizers]
        kept = 0
        for row, reading in enumerate(readings):
            agreed = all(other[row].text == reading.text for other in others)
            label = stored[row].text
            if self.keep_labels:
                if label and reading.error is None:
                    kept += 1
                    yield records[row], label, joined(label, soft_label_of(reading))
            elif reading.text and agreed and reading.confidence >= self.min_confidence:
                kept += 1
                yield records[row], reading.text, soft_label_of(reading)
        if kept < len(numbers):
            raise SkippedRecord(
                f"{source.path}: {len(numbers) - kept} of records {numbers[0]} to {numbers[-1]}"
            )


def soft_label_of(reading: Reading) -> SoftLabel:
    """Return the readings of an image with their probabilities; none if only one was asked for."""
    return [(text, sure) for text, sure in reading.alternatives if text and sure >= NEGLIGIBLE]


def joined(label: str, readings: SoftLabel) -> SoftLabel:
    """Return a teacher's readings together with a label that is right, which gets at least half of
    the draws.
    """
    of_label = 1.0 + sum(sure for text, sure in readings if text == label)
    total = of_label + sum(sure for text, sure in readings if text != label)
    others = [(text, sure / total) for text, sure in readings if text != label]
    return [(label, of_label / total), *others]


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
    parser.add_argument(
        "--readings",
        type=int,
        default=1,
        metavar="N",
        help="readings to store of each image with their probabilities; 1: the best one alone",
    )
    parser.add_argument(
        "--keep_labels",
        action="store_true",
        help="for images that have labels: keep them all, as the readings that are likeliest",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing LMDB")


def recognizers_of(name: str, readings: int, *, agreeing: bool) -> list[Recognizer]:
    """Return a model's readers.

    readings: how many the first one gives of each image. agreeing: whether there is to be a second
        one that has to read the same, if the model can read in several ways.
    """
    from strhub.checkpoint.zoo import load
    from strhub.inference.recognizer import Recognizer

    model = load(name)
    recognizers = [Recognizer(model, batch_size=CHUNK, top_k=readings)]
    if agreeing and "decode_ar" in model.model.decoding_options:
        recognizers.append(Recognizer(name, batch_size=CHUNK, decode_ar=False, refine_iters=1))
    return recognizers


def run(args: argparse.Namespace) -> None:
    """Label, and print how many images are. Raises `ValueError` if nothing can be read."""
    if not 1 <= args.readings <= MAX_READINGS:
        raise ValueError(f"--readings is {args.readings}: it must be from 1 to {MAX_READINGS}")
    if args.keep_labels and args.readings == 1:
        raise ValueError("--keep_labels stores further readings beside labels: set --readings, too")
    paths = find_lmdbs(args.input)
    if not paths:
        raise ValueError(f"there is no LMDB folder (data.mdb) in {args.input}")
    sources = [StoredWords(path) for path in paths]
    recognizers = recognizers_of(args.model, args.readings, agreeing=not args.keep_labels)
    jobs = [
        (number, first)
        for number, source in enumerate(sources)
        for first in range(1, source.count + 1, CHUNK)
    ]
    inputs = [
        args.model,
        args.min_confidence,
        args.readings,
        args.keep_labels,
        [(str(source.path.resolve()), source.count) for source in sources],
    ]
    total = sum(source.count for source in sources)
    try:
        report = write_words(
            args.output,
            jobs,
            Labeler(sources, recognizers, args.min_confidence, keep_labels=args.keep_labels),
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
