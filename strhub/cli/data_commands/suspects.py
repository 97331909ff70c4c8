"""Find labels that a trained reader contradicts, and write a page to review them."""

from __future__ import annotations

import argparse
from pathlib import Path

from strhub.utils.progress import progress
from strhub.utils.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `suspects`."""
    add = parser.add_argument
    add("tree", help="LMDB folders, labeled images, or a pattern of .tar files")
    add("output", type=Path, help="HTML page to write, such as suspects.html")
    add("--model", default="strhub-small", help="id, checkpoint or exported file of the reader")
    add(
        "--charset",
        default="36_lowercase",
        help="characters that labels and readings are compared in: a name in configs/charset, or "
        "@FILE",
    )
    add(
        "--most",
        type=int,
        default=1000,
        help="most words to show on the page; those that the reader is surest of come first",
    )
    add("--device", default="auto", help="cpu, cuda, cuda:1, mps, …; auto: the fastest available")
    add("--batch_size", type=int, default=64, help="images per batch")


def run(arguments: argparse.Namespace) -> None:
    """Read all words, write the page, say how many labels are suspected."""
    from strhub.data.curation.charsets import named_charset
    from strhub.data.sources.word_sets import open_set
    from strhub.evaluation.readers import RecognizerReader
    from strhub.evaluation.report.suspects_page import suspects_page
    from strhub.evaluation.scoring import score
    from strhub.inference.recognizer import Recognizer
    from strhub.utils.files import write_whole

    if arguments.most < 1:
        raise ValueError(f"--most is {arguments.most}: it must be at least 1")
    sets = [open_set(arguments.tree)]
    reader = Recognizer(arguments.model, device=arguments.device, batch_size=arguments.batch_size)
    found = score(
        RecognizerReader(reader, {"name": arguments.model}),
        sets,
        charset=named_charset(arguments.charset),
        errors=arguments.most,
        progress=lambda words, name: progress(words, f"words of {name}"),
    )
    suspects = found.combined.suspects
    words = int(found.combined.samples)
    write_whole(
        arguments.output, suspects_page(suspects, sets, reader=arguments.model, words=words)
    )
    print(printable(f"{arguments.output}: {len(suspects)} labels of {words} are suspected"))
