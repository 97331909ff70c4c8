"""Rendered words from a command line.

In: a parser to which the options are added, later what it parsed. Out: `RenderedWords`, and a
fingerprint of all that their images depend on.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

import numpy as np
import PIL

from strhub.data.synth.dataset import RenderedWords
from strhub.data.synth.fontfiles import split_name
from strhub.data.synth.render import Difficulty
from strhub.text import CHARSET_94
from strhub.utils.regular_files import MAX_LIST_BYTES, read_regular
from strhub.utils.renamed_option import RenamedOption

__all__ = ["add_render_arguments", "parse_difficulty", "render_fingerprint", "rendered_words"]


def add_render_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which words are rendered, and how."""
    parser.add_argument(
        "--seed", type=int, default=1, help="random seed; the same seed renders the same words"
    )
    parser.add_argument(
        "--difficulty", default="0.5", help="from 0 (clean) to 1 (hard), or a range such as 0.2:0.8"
    )
    parser.add_argument(
        "--style",
        default="default",
        help="appearance of the words: a name in configs/style, or a YAML file",
    )
    parser.add_argument("--drawing", dest="style", action=RenamedOption, help=argparse.SUPPRESS)
    parser.add_argument(
        "--charset",
        default=CHARSET_94,
        help="characters to use, or @FILE; by default the 94 printable ASCII characters",
    )
    parser.add_argument("--max_length", type=int, default=25, help="longest word, in characters")
    parser.add_argument(
        "--fonts",
        nargs="+",
        metavar="FONT",
        help="font files, folders of them, bundled or system; by default bundled",
    )
    parser.add_argument(
        "--corpus",
        type=Path,
        metavar="FILE",
        help="file of words to render, one per line, each optionally with its frequency",
    )


def parse_difficulty(text: str) -> Difficulty:
    """Return 0.5 for "0.5" and (0.2, 0.8) for "0.2:0.8"; `ValueError` for anything else."""
    try:
        ends = [float(part) for part in text.split(":")]
    except ValueError:
        ends = []
    if len(ends) not in (1, 2):
        raise ValueError(
            f"difficulty must be a number such as 0.5 or two such as 0.2:0.8, not {text!r}"
        )
    return ends[0] if len(ends) == 1 else (ends[0], ends[1])


def rendered_words(arguments: argparse.Namespace, *, size: int | None = None) -> RenderedWords:
    """Return the words that the options ask for; `ValueError` as `RenderedWords` raises it."""
    return RenderedWords(
        charset=arguments.charset,
        max_length=arguments.max_length,
        seed=arguments.seed,
        difficulty=parse_difficulty(arguments.difficulty),
        fonts=arguments.fonts,
        size=size,
        style=arguments.style,
        corpus=arguments.corpus,
    )


def render_fingerprint(words: RenderedWords, arguments: argparse.Namespace) -> str:
    """Return a digest of the settings, fonts, corpus and libraries: words with the same one are
    the same words.
    """
    digest = hashlib.sha256()
    renderer = words.renderer
    settings = (
        words.seed,
        arguments.charset,
        arguments.max_length,
        renderer.difficulty,
        renderer.style,
    )
    digest.update(
        repr((settings, PIL.__version__, np.__version__)).encode("utf-8", "backslashreplace")
    )
    for name in renderer.shelf.paths:
        path, instance = split_name(name)
        digest.update(
            f"{Path(path).name} {instance} {os.path.getsize(path)}".encode(
                "utf-8", "backslashreplace"
            )
        )
    if arguments.corpus is not None:
        digest.update(read_regular(arguments.corpus, max_bytes=MAX_LIST_BYTES))
    return digest.hexdigest()
