"""Render words and write them to an LMDB."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from strhub.data.curation.charsets import named_charset
from strhub.data.curation.writer import Record, SkippedRecord, write_words
from strhub.data.synth import RenderedWords
from strhub.data.synth.options import add_render_arguments, render_fingerprint, rendered_words
from strhub.data.synth.shaping import is_ignorable
from strhub.utils.terminal import printable

_SHOWN_PROBLEMS = 10
_SHOWN = 60  # characters


class RenderRecord:
    """The image file and label of rendered word `index`."""

    def __init__(self, words: RenderedWords) -> None:
        self.words = words

    def __call__(self, index: int) -> Iterator[Record]:
        """Raise `SkippedRecord` for a text that the fonts or libraries cannot render."""
        try:
            yield self.words.render_encoded(index)
        except ValueError as error:
            raise SkippedRecord(f"word {index}: {error}") from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `render`."""
    parser.add_argument("folder", type=Path, help="LMDB folder to write")
    parser.add_argument("--count", type=int, default=2000, help="number of words to render")
    add_render_arguments(parser)
    parser.add_argument(
        "--workers", type=int, default=min(4, os.cpu_count() or 1), help="processes that render"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing LMDB")


def run(arguments: argparse.Namespace) -> None:
    """Render, write, print how many; a run that was stopped is resumed by the same command."""
    arguments.charset = named_charset(arguments.charset)
    if arguments.count < 1:
        raise ValueError(f"count must be at least 1, not {arguments.count}")
    words = rendered_words(arguments)
    if words.undrawable:
        print(
            f"no font has {_listed(words.undrawable)}: give --fonts that have them", file=sys.stderr
        )
    report = write_words(
        arguments.folder,
        range(arguments.count),
        RenderRecord(words),
        fingerprint=render_fingerprint(words, arguments),
        workers=arguments.workers,
        overwrite=arguments.overwrite,
    )
    for problem in report.problems[:_SHOWN_PROBLEMS]:
        print(printable(problem), file=sys.stderr)
    left_out = f"; {report.skipped} could not be drawn" if report.skipped else ""
    print(printable(f"{arguments.folder}: {report.written} words written{left_out}"))
    never = never_rendered(words, arguments.folder)
    if never:
        print(
            f"never rendered: {_listed(never)}: render more words for them to occur",
            file=sys.stderr,
        )


def never_rendered(words: RenderedWords, folder: Path) -> str:
    """Return the characters that could be drawn and are in no label of an LMDB folder, in the
    charset's order.
    """
    from strhub.data.sources.lmdb import LmdbWords

    seen = frozenset[str]().union(*LmdbWords(folder).labels)
    rendered = words.sampler.charset + (" " if words.sampler.spaces else "")
    return "".join(char for char in rendered if char not in seen and not is_ignorable(char))


def _listed(characters: str) -> str:
    """Return how many characters, and the first of them; those that can't be seen by their
    numbers.
    """
    shown = [
        char if char.isprintable() and not char.isspace() else f"U+{ord(char):04X}"
        for char in characters[:_SHOWN]
    ]
    more = f" and {len(characters) - _SHOWN} more" if len(characters) > _SHOWN else ""
    return f"{len(characters)} of the charset's characters ({' '.join(shown)}{more})"
